import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { between, seed, seededRandom } from "../support/seed.ts";
import { EchoStream, ForwardedPort, LineStream, openClient, ShellTalk } from "./link-load.ts";
import { AttackStage } from "./stage.ts";

/**
 * kill -9 of the link again and again, while clients work. With init's real pauses, which grow to
 * five seconds when links die this often, it takes minutes, so that is asked for by name:
 *   FV_LINK_KILLS=50 bun test test/attacks/link-kills.test.ts
 */
const asked = process.env["FV_LINK_KILLS"];
const kills = Number(asked ?? (process.env["FV_SOAK"] === undefined ? 20 : 50));
const steadyPauses = ["sh", "-c", 'exec "$0" "$1"', process.execPath];
const starter = [...steadyPauses, join(import.meta.dir, "keeper.child.ts")];

test(
  `${kills} times kill -9 of the link costs no shell and no byte`,
  async () => {
    const random = seededRandom(seed);
    const stage = await AttackStage.open(asked === undefined ? { starter } : {});
    const { machine } = stage;
    try {
      // As many as get evidence at once from a link that has just started.
      const [first, second, third] = [
        await openClient(stage),
        await openClient(stage),
        await openClient(stage),
      ];
      const shell = new ShellTalk(first);
      const port = await ForwardedPort.open(first);
      const lines = await LineStream.begin(second);
      const echo = await EchoStream.begin(third, random);
      const sessions = [shell, lines, echo].map(({ session }) => session);
      await shell.ask();

      const killedAtMs: number[] = [];
      let atTenth: Footprint | undefined;
      for (let kill = 1; kill <= kills; kill += 1) {
        await Bun.sleep(between(random, 50, 900));
        const link = machine.linkPid();
        killedAtMs.push(performance.now());
        process.kill(link, "SIGKILL");
        await machine.untilNewLink(link);
        if (kill % 10 !== 0) continue;
        await shell.ask();
        atTenth ??= await footprint(machine.pid);
      }
      await shell.ask();
      const atEnd = await footprint(machine.pid);
      await shell.finish();
      await Promise.all([lines.finish(stage), echo.finish(), port.finish()]);
      expect(machine.log).not.toContain('"event":"mistake"');

      // Descriptors come and go with streams; what leaked by each kill would be dozens.
      expect(atEnd.descriptors - (atTenth?.descriptors ?? 0)).toBeLessThan(10);
      expect(atEnd.kibibytes - (atTenth?.kibibytes ?? 0)).toBeLessThan(48 * 1024);
      expect(lines.count).toBeGreaterThan(kills * 10);
      expect(port.answered).toBeGreaterThan(kills);
      const waits = sessions.flatMap(({ comebacks }) => waitsOf(killedAtMs, comebacks));
      expect(waits.length).toBeGreaterThan(kills);
      // With pauses at their shortest it is one second and a bit; a busy machine gets slack.
      if (asked === undefined) expect(waits.toSorted((a, b) => a - b).at(-5)).toBeLessThan(6000);
      console.log(
        `${kills} kills: ${lines.count} lines, ${echo.bytes >> 20} MiB there and back, ` +
          `${port.answered} forwarded connections (${port.broken} died with their link); ` +
          `back after ${describe(waits)}; ` +
          `keeper: ${JSON.stringify(atTenth)} -> ${JSON.stringify(atEnd)}`,
      );
      for (const link of [first, second, third]) await link.close();
    } finally {
      await stage.close();
    }
  },
  kills * 6_000,
);

interface Footprint {
  readonly descriptors: number;
  readonly kibibytes: number;
}

/** After a moment in which what has ended is let go. */
async function footprint(pid: number): Promise<Footprint> {
  await Bun.sleep(500);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    kibibytes: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]),
  };
}

/** From each kill to the first time the session was attached again after it, unless the next kill came first. */
function waitsOf(killedAtMs: readonly number[], comebacks: readonly number[]): number[] {
  return killedAtMs.flatMap((killed, index) => {
    const next = killedAtMs[index + 1] ?? Number.POSITIVE_INFINITY;
    const back = comebacks.find((at) => at > killed && at < next);
    return back === undefined ? [] : [back - killed];
  });
}

function describe(waits: readonly number[]): string {
  const sorted = waits.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.floor(sorted.length * share)] ?? 0);
  return `${at(0.5)} ms (half), ${at(0.95)} ms (95 %), ${at(1 - 1 / sorted.length)} ms (all of ${sorted.length})`;
}
