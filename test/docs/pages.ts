/** Which pages are followed, what comes before, and the commands that are not run as they stand, each with the reason. */

/** Everything on the other pages goes on from here, as they say at their beginning. */
export const beginning = { page: "docs/quickstart.md", untilHeading: "## Take it all away" };

/** These begin with nothing; all others where `beginning` ends. */
export const fromNothing: readonly string[] = [
  "README.md",
  "docs/quickstart.md",
  "docs/fly-local.md",
];

export interface Exception {
  readonly command: RegExp;
  readonly why: string;
  /** What is run in its place; without it nothing is, and its output is not looked at. */
  readonly instead?: string;
}

/** The first that matches counts. */
export const exceptions: readonly Exception[] = [
  {
    command: /^make build\b/,
    why: "it was built before the tests; the shell has it in PATH",
    instead: "true",
  },
  {
    command: /^sudo mmdebstrap .* bookworm ~\/debian\.tar\.zst$/,
    why: "it takes a minute and a mirror of Debian; here a small one of the same name does",
    instead: 'cp "$PAGE_ROOTFS" ~/debian.tar.zst',
  },
];
