/** Which pages are followed, what comes before, and the commands that are not run as they stand, each with the reason. */

/** All other pages go on from here, as they say at their beginning; what comes after the heading is run last. */
export const beginning = { page: "docs/quickstart.md", untilHeading: "## Take it all away" };

/** These begin with nothing. */
export const fromNothing: readonly string[] = ["README.md", "docs/fly-local.md"];

export interface Exception {
  readonly command: RegExp;
  readonly why: string;
  /** What is run in its place; without it nothing is, and its output is not looked at. */
  readonly instead?: string;
}

/** The first that matches counts. */
export const exceptions: readonly Exception[] = [
  {
    command: /^fly-local serve --state-dir ~\/fly &$/,
    why: "commands follow each other faster than people type, and would wait for Fly's limits of calls a second",
    instead: "fly-local serve --state-dir ~/fly --no-rate-limit --evidence-rate 0 &",
  },
  {
    command: /^fly-vault ports acme$/,
    why: "commands follow each other faster than people type; a server that goes to the background listens a little later",
    instead:
      "until fly-vault ports acme 2>&1 | grep -q httpd; do sleep 0.1; done; fly-vault ports acme",
  },
  {
    command: /^fly-vault-admin tenant update-image --all-tenants --dry-run /,
    why: "commands follow each other faster than people type; a machine that was just started cannot say yet what is open there",
    instead: untilSaid(
      "fly-vault-admin tenant update-image --all-tenants --dry-run --image registry.fly.io/vault-tenants/init@sha256:5ee8bd3f6bd7a2a5f2bd2d3b5e7b4e8e7bb8ef4f4a33d9d3ae9b1d6a2f1b0c9d",
    ),
  },
  {
    command: /^fly apps create my-vaults /,
    why: "needs an account at Fly; fly-local is asked by its API",
    instead: `curl -sfo /dev/null -H "authorization: Bearer $FLY_API_TOKEN" $FLY_API_BASE/v1/apps --json '{"name": "my-vaults", "org_slug": "local"}'`,
  },
  {
    command: /^export FLY_API_TOKEN=\$\(fly tokens create /,
    why: "the token of an account at Fly; fly-local's does",
    instead: "export FLY_API_TOKEN=$(cat ~/fly/api-token)",
  },
  {
    command: /^(?:printf .*\| |FLY_API_TOKEN=.*\s|sudo )?(?:fly|docker|wg-quick) /s,
    why: "needs an account at Fly",
  },
  {
    command: /^make system build\b/,
    why: "it was built before the tests; the shell has it in PATH",
    instead: "true",
  },
  {
    command: /^fly-vault-admin tenant update-image .*init:v7$/s,
    why: "asks a registry for the digest of the tag",
  },
  {
    command: /^fly-vault-admin tenant update-image --resume r-/,
    why: "the id of a rollout has its date",
    instead:
      "fly-vault-admin tenant update-image --resume $(ls ~/.local/state/fly-vault/rollouts | sed -n 's/.jsonl$//p' | head -n 1)",
  },
  {
    command: /^(?:curl -fsSLO https:\/\/github|sh install\.sh)/,
    why: "nothing is released yet; test/build has releases of its own for the installer",
  },
  { command: /^curl https:\/\/vault\.example\.com/, why: "no such host" },
  {
    command: /^(?:rsync|git push) /,
    why: "needs rsync or git in the root filesystem; test/e2e/ssh.test.ts has them",
  },
  {
    command: /^sudo mmdebstrap .* bookworm ~\/debian\.tar\.zst$/,
    why: "it takes a minute and a mirror of Debian; here a small one of the same name does",
    instead: 'cp "$PAGE_ROOTFS" ~/debian.tar.zst',
  },
];

function untilSaid(command: string): string {
  return `while ${command} | grep -q 'did not say'; do sleep 0.1; done; ${command}`;
}
