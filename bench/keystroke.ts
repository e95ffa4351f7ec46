import { benchmark, type Measured } from "./harness/benchmark.ts";
import { type Metrics, Samples } from "./harness/rounds.ts";
import { quantile } from "./harness/statistics.ts";
import { farAddress, Link } from "./link/link.ts";
import { startMosh } from "./peers/mosh.ts";
import { openSsh } from "./peers/openssh.ts";
import { Terminal } from "./peers/terminal.ts";
import { openBusyboxVault } from "./peers/vault.ts";

const weathers = [0, 100].flatMap((rttMs) => [0, 0.05].map((loss) => ({ rttMs, loss })));
const letters = 150;
const everyMs = 70;
/** The terminal at the far end echoes; nobody else says anything. */
const listener = ["sh", "-c", "cat >/dev/null"] as const;

/** From a key to its letter on the screen, three programs at once over one line. */
await benchmark({
  name: "keystroke",
  rounds: 3,
  measure: async ({ rounds }) => {
    await using link = await Link.open();
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    link.leadTo(vault.host);
    const mosh = startMosh(farAddress, listener);
    await using terminals = new AsyncDisposableStack();
    const open = (argv: readonly string[], env: Record<string, string>): Terminal =>
      terminals.use(new Terminal(link.near(argv), env));
    const typists = new Map([
      ["ours", open(vault.client("exec", "-q", "-t", "dev", "--", ...listener), vault.env)],
    ]);
    if (ssh !== null)
      typists.set("ssh", open([...ssh.ssh(["-tt"], farAddress), "cat >/dev/null"], ssh.env));
    if (mosh !== null) typists.set("mosh", open(mosh.argv, mosh.env));
    await Bun.sleep(3000);
    const figures: Measured[] = [];
    for (const weather of weathers) {
      const turns = new Map([...typists.keys()].map((name) => [name, [] as Metrics[]]));
      for (let round = 0; round < rounds; round++) {
        await link.setWeather({ delayMs: weather.rttMs / 2, loss: weather.loss }, round);
        const typing = [...typists].map(async ([name, terminal]) => {
          const ms = await terminal.typeLetters(letters, everyMs);
          turns.get(name)?.push({ p50: quantile(ms, 0.5), p99: quantile(ms, 0.99) });
        });
        await Promise.all(typing);
      }
      figures.push(...compare(new Samples(turns), weather));
    }
    return figures;
  },
});

function compare(samples: Samples, { rttMs, loss }: (typeof weathers)[number]): Measured[] {
  return ["p50", "p99"].flatMap((metric) =>
    ["ssh", "mosh"].map((peer) =>
      samples.compare({
        what: `echo ${metric}, ${rttMs} ms RTT, ${loss * 100} % loss`,
        peer,
        metric,
        unit: "ms",
        better: "lower",
        ...(metric === "p99" && peer === "ssh" && loss > 0
          ? { goal: { of: "ratio", limit: 0.5 } }
          : {}),
      }),
    ),
  );
}
