"""Deploy-time tools. Never imported while serving."""
