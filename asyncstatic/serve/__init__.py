"""Hosts: carry a request to the decision core, to the disk, and the plan to the client."""
