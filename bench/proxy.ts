import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave, type Metrics } from "./harness/rounds.ts";
import { openOurs } from "./proxy/ours.ts";
import { openNginx, openSocat } from "./proxy/peers.ts";
import { measureProxy } from "./proxy/proxy-run.ts";
import { backend, type Subject } from "./proxy/subject.ts";

const flows = 100;
const nginx = "nginx stream";

/**
 * What it costs to go through the proxy. Clients and backend are one process on one processor, the proxy
 * has the other; all on loopback.
 */
await benchmark({
  name: "proxy",
  rounds: 5,
  measure: async ({ rounds, part }) => {
    const seconds = 2 * part;
    const turn = (open: () => Promise<Subject | null>) => async (): Promise<Metrics> => {
      const subject = await open();
      if (subject === null) throw new Error("It was here a moment ago");
      try {
        const direct = await measureProxy(backend, null, { flows, seconds: seconds / 2 });
        const { p50Us, ...run } = await measureProxy(subject.address, subject, { flows, seconds });
        return { ...run, addedUs: p50Us - direct.p50Us };
      } finally {
        await subject.close();
      }
    };
    const samples = await interleave(rounds, {
      ours: turn(async () => openOurs(flows)),
      [nginx]: (await isThere(openNginx)) ? turn(openNginx) : null,
      socat: (await isThere(openSocat)) ? turn(openSocat) : null,
    });
    return [nginx, "socat"].flatMap((peer): Measured[] => {
      const goal = { of: "ratio", limit: 1 } as const;
      const shared = { peer, ...(peer === nginx ? { goal } : {}) };
      return [
        samples.compare({
          ...shared,
          what: `proxy, ${flows} flows: datagrams`,
          metric: "perSecond",
          unit: "/s",
          better: "higher",
        }),
        samples.compare({
          ...shared,
          what: `proxy, ${flows} flows: added p50`,
          metric: "addedUs",
          unit: "µs",
          better: "lower",
        }),
        samples.compare({
          ...shared,
          what: `proxy, ${flows} flows: CPU of a datagram`,
          metric: "cpuUs",
          unit: "µs",
          better: "lower",
        }),
      ];
    });
  },
});

async function isThere(open: () => Promise<Subject | null>): Promise<boolean> {
  const subject = await open();
  await subject?.close();
  return subject !== null;
}
