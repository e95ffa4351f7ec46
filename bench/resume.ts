import { benchmark } from "./harness/benchmark.ts";
import { type Metrics, Samples } from "./harness/rounds.ts";
import { farAddress, Link } from "./link/link.ts";
import { startMosh } from "./peers/mosh.ts";
import { Terminal } from "./peers/terminal.ts";
import { openBusyboxVault } from "./peers/vault.ts";

const outageMs = 5000;
/** Something to be seen at any moment. */
const ticker = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"] as const;

/** From the moment the network is back to the first output on the screen, both at once over one line. */
await benchmark({
  name: "resume",
  rounds: 8,
  measure: async ({ rounds }) => {
    await using link = await Link.open();
    await using vault = await openBusyboxVault();
    link.leadTo(vault.host);
    await link.setWeather({ delayMs: 10, loss: 0 });
    await using terminals = new AsyncDisposableStack();
    const mosh = startMosh(farAddress, ticker);
    const screens = new Map<string, Terminal>();
    const ours = link.near(vault.client("exec", "-q", "-t", "dev", "--", ...ticker));
    screens.set("ours", terminals.use(new Terminal(ours, vault.env)));
    if (mosh !== null)
      screens.set("mosh", terminals.use(new Terminal(link.near(mosh.argv), mosh.env)));
    const turns = new Map([...screens.keys()].map((name) => [name, [] as Metrics[]]));
    for (let round = 0; round < rounds; round++) {
      await Promise.all([...screens.values()].map((screen) => screen.nextDigits()));
      // Another phase of whatever counts time in there, in each round.
      await Bun.sleep(1000 + Math.random() * 1000);
      await link.darken(outageMs);
      const backMs = performance.now() + outageMs;
      await Bun.sleep(outageMs);
      const looking = [...screens].map(async ([name, screen]) => {
        turns.get(name)?.push({ ms: (await screen.nextDigits()) - backMs });
      });
      await Promise.all(looking);
    }
    return [
      new Samples(turns).compare({
        what: `first output after ${outageMs / 1000} s without network`,
        peer: "mosh",
        metric: "ms",
        unit: "ms",
        better: "lower",
        goal: { of: "ratio", limit: 1 },
      }),
    ];
  },
});
