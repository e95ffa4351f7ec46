/** The proxy's flows beside a flood of forged admissions: `bun bench/micro/proxy-flood.ts`, `PART=0.25`. */
import { isInSandbox, prepareSandbox, runInSandbox } from "../harness/sandbox.ts";
import { markdownTable } from "../harness/table.ts";
import { measureFlood } from "../proxy/flood-run.ts";

if (!isInSandbox()) process.exit(await runInSandbox());
prepareSandbox();
const seconds = 10 * (Number(process.env["PART"]) || 1);
const flood = await measureFlood(seconds, 100_000);
console.log(
  `100 flows beside ${flood.floodPerSecond.toFixed(0)} forged admissions/s ` +
    `(which take ${flood.floodCpus.toFixed(2)} processors to send), ${seconds} s each`,
);
console.log(
  markdownTable(
    ["", "of 100 000/s", "proxy CPUs", "most/s", "p50 us", "p99 us"],
    (["calm", "beside"] as const).map((name) => {
      const health = flood[name];
      return [
        name,
        `${(100 * health.arrivedPart).toFixed(1)} %`,
        health.proxyCpus.toFixed(2),
        health.perSecond.toFixed(0),
        health.p50Us.toFixed(1),
        health.p99Us.toFixed(1),
      ];
    }),
  ),
);
process.exit(0);
