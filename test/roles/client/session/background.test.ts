import { expect, setDefaultTimeout, test } from "bun:test";
import { spawnClient } from "../../../support/client-process.ts";
import { LinkStage, until } from "../../../support/link-stage.ts";
import { PtyClient } from "../../../support/pty-client.ts";

setDefaultTimeout(120_000);

/** Sessions over a link that a background process holds: what a person sees and types is as over one's own. */

class Desk implements AsyncDisposable {
  readonly stage: LinkStage;
  readonly terminal: PtyClient;

  private constructor(stage: LinkStage, terminal: PtyClient) {
    this.stage = stage;
    this.terminal = terminal;
  }

  static async open(
    words: readonly string[],
    keys: Readonly<Record<string, unknown>> = {},
  ): Promise<Desk> {
    const stage = await LinkStage.open();
    await stage.vault.configure(keys);
    return new Desk(stage, new PtyClient(words, stage.env));
  }

  static async connected(): Promise<Desk> {
    const desk = await Desk.open(["connect", "-q", "dev"]);
    await desk.terminal.shows(/[$#>] /);
    return desk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.terminal.close();
    await this.stage.close();
  }
}

/** As `~s` says; a background process that is slow to answer is not waited for, so it is asked again. */
async function untilSentPackets(terminal: PtyClient, atLeast: number): Promise<number> {
  for (let tries = 0; tries < 40; tries += 1) {
    const sent = await sentPackets(terminal);
    if (sent >= atLeast) return sent;
  }
  throw new Error(`Never ${atLeast} packets: ${terminal.text}`);
}

async function sentPackets(terminal: PtyClient): Promise<number> {
  const from = terminal.text.length;
  terminal.type("~s");
  await terminal.shows(/round trip (?:\d+|under 1) ms · \d+ of \d+ packets lost\r\n/, from);
  return Number(/of (\d+) packets/.exec(terminal.text.slice(from))?.[1]);
}

test.concurrent("~s says how the link is now, also over the next background process", async () => {
  await using desk = await Desk.connected();
  const { terminal, stage } = desk;
  const before = await sentPackets(terminal);
  for (let line = 0; line < 30; line += 1) {
    terminal.type(`: ${line}\r`);
    await terminal.shows(new RegExp(`: ${line}\r\n`));
  }
  await untilSentPackets(terminal, before + 10);
  const [pid = 0] = stage.processes();
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, "SIGSTOP");
  // Asked while nobody answers.
  terminal.type("~s");
  await terminal.shows(/packets lost\r\n$/);
  process.kill(pid, "SIGKILL");
  terminal.type("\recho af$((40+2))ter\r");
  await terminal.shows(/af42ter/);
  const next = await sentPackets(terminal);
  terminal.type("echo more-$((40+2))\r");
  await terminal.shows(/more-42/);
  await untilSentPackets(terminal, next + 1);
});

test.concurrent(
  "a link that is down is shown, with its attempts, and left by ~. at once",
  async () => {
    await using desk = await Desk.connected();
    const { terminal, stage } = desk;
    const from = terminal.text.length;
    await stage.vault.withoutLink(async () => {
      await terminal.shows(/link down 00:0\d · retrying \(1\) · ~\. leaves, session stays/, from);
      terminal.type("\r~s");
      await terminal.shows(/link down for \d\d:\d\d, attempt \d/, from);
      terminal.type("~recho on-$((40+2))\r");
    });
    await terminal.shows(/on-42/, from);
    const again = terminal.text.length;
    await stage.vault.withoutLink(async () => {
      await terminal.shows(/link down/, again);
      terminal.type("\r~.");
      expect(await terminal.child.exited).toBe(0);
    });
  },
);

test.concurrent(
  "a command that comes while the link is down does not wait for it without end",
  async () => {
    await using desk = await Desk.connected();
    const { terminal, stage } = desk;
    await stage.vault.withoutLink(async () => {
      await terminal.shows(/link down/);
      const child = spawnClient(["exec", "--reconnect", "1s", "dev", "--", "true"], stage.env);
      expect(await child.exited).toBe(6);
      expect(await child.stderr.text()).toContain("FV-NET-002");
    });
  },
);

const onKeys: readonly (readonly string[])[] = [
  ["connect", "-q", "dev"],
  ["exec", "-q", "-t", "dev", "sh"],
  ["attach", "-q", "dev", "main"],
  ["run", "-q", "--attach", "-t", "dev", "sh"],
  ["exec", "-q", "--session", "main", "dev"],
];

for (const words of onKeys)
  test(`~. ends ${words.join(" ")} while the background process dials`, async () => {
    await using desk = await Desk.open(words, { address: "127.0.0.1:9" });
    const { terminal, stage } = desk;
    await until(() => terminal.raw && stage.processes().length > 0);
    terminal.type("\r~.");
    // Had it waited for the end of the dialling it would say that nobody answers.
    expect(await terminal.child.exited).toBe(130);
    expect(terminal.raw).toBeFalse();
  });
