/** `--color`. */
export const colourWishes = ["auto", "always", "never"] as const;
export type ColourWish = (typeof colourWishes)[number];
