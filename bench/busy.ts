import { randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave, type Metrics, type Subject } from "./harness/rounds.ts";
import { findProgram } from "./harness/sandbox.ts";
import { quantile } from "./harness/statistics.ts";
import { farAddress, Link } from "./link/link.ts";
import { commandMs } from "./peers/command.ts";
import { type OpenSsh, openSsh } from "./peers/openssh.ts";
import { Terminal } from "./peers/terminal.ts";
import { type BusyboxVault, openBusyboxVault } from "./peers/vault.ts";

const rttMs = 20;
/** 20 Mbit/s, and as much queue before it as modems often have. */
const bottleneck = { bytesPerMs: 2500, queueMs: 300 };
const letters = 60;
const everyMs = 70;
/** Longer on its way than the typing takes: no part of it would do. */
const fileBytes = 16 * 1024 * 1024;
/** Until a copy is at full speed. */
const warmUpMs = 700;

type Direction = "up" | "down";

interface Party {
  readonly console: readonly string[];
  readonly env: Record<string, string>;
  /** One copy of the file, to a place that is free. */
  readonly copy: (direction: Direction, count: number) => readonly string[];
}

/** From a key to its letter on the screen while a file is copied over the same narrow line. */
await benchmark({
  name: "busy",
  rounds: 3,
  measure: async ({ rounds }) => {
    await using link = await Link.open();
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    link.leadTo(vault.host);
    await link.setWeather({ delayMs: rttMs / 2, loss: 0, bottleneck });
    const file = join(mkdtempSync(join(tmpdir(), "busy-")), "file");
    writeFileSync(file, randomBytes(fileBytes));
    await using terminals = new AsyncDisposableStack();
    const turns = new Map<string, (direction: Direction) => Promise<Metrics>>();
    for (const [name, party] of [
      ["ours", ourParty(vault, file)],
      ["ssh, scp", ssh && sshParty(ssh, file)],
    ] as const) {
      if (party === null) continue;
      const terminal = terminals.use(new Terminal(link.near(party.console), party.env));
      await Bun.sleep(2000);
      let count = 0;
      await commandMs(link.near(party.copy("up", count)), party.env);
      turns.set(name, async (direction) => {
        count += 1;
        const copying = commandMs(link.near(party.copy(direction, count)), party.env);
        await Bun.sleep(warmUpMs);
        const ms = await terminal.typeLetters(letters, everyMs);
        await copying;
        return { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99) };
      });
    }
    const figures: Measured[] = [];
    for (const direction of ["up", "down"] as const) {
      const subjects = [...turns].map(([name, turn]): [string, Subject] => [
        name,
        async () => turn(direction),
      ]);
      const samples = await interleave(rounds, Object.fromEntries(subjects));
      for (const metric of ["p50", "p99"])
        figures.push(
          samples.compare({
            what: `echo ${metric}, ${rttMs} ms RTT, beside a copy ${direction}`,
            peer: "ssh, scp",
            metric,
            unit: "ms",
            better: "lower",
          }),
        );
    }
    return figures;
  },
});

function ourParty(vault: BusyboxVault, file: string): Party {
  return {
    console: vault.client("exec", "-q", "-t", "dev", "--", "sh", "-c", "cat >/dev/null"),
    env: vault.env,
    copy: (direction, count) =>
      direction === "up"
        ? vault.client("cp", "-q", file, `dev:/root/up-${count}`)
        : vault.client("cp", "-q", "dev:/root/up-0", `${file}-${count}`),
  };
}

function sshParty(ssh: OpenSsh, file: string): Party | null {
  const { env, folder, copyFlags } = ssh;
  const scp = findProgram("scp");
  if (scp === null) return null;
  const far = (name: string) => `${farAddress}:${folder}/${name}`;
  return {
    console: [...ssh.ssh(["-tt"], farAddress), "cat >/dev/null"],
    env,
    copy: (direction, count) =>
      direction === "up"
        ? [scp, "-q", ...copyFlags, file, far(`up-${count}`)]
        : [scp, "-q", ...copyFlags, far("up-0"), `${file}-scp-${count}`],
  };
}
