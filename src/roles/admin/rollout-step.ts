/** Where a machine is to end up; `out` gives it back with the image that it has. */
export type Goal = "new" | "old" | "out";

/** What is done for a machine right now. */
export type TourStep =
  ChangeStep | ("lease" | "look" | "settle") | ("start" | "health" | "handshake" | "soak") | "over";
