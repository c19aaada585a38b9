export const notes = ["buy milk", "water the plants"];
