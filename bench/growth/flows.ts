import { growth } from "../harness/growth.ts";
import { openOurs } from "../proxy/ours.ts";
import { measureProxy } from "../proxy/proxy-run.ts";

/** Flows through the proxy at the same time, of all the machines that they need. */
await growth({
  name: "flows",
  of: "flows",
  counts: [1, 10, 100, 1000, 10_000],
  costs: [
    { name: "CPU of a datagram", unit: "µs" },
    { name: "p50 there and back", unit: "µs" },
    { name: "memory", unit: "MB" },
    { name: "memory of the kernel", unit: "MB" },
  ],
  measure: async function* (counts) {
    for (const count of counts) {
      const subject = await openOurs(count);
      const run = await measureProxy(subject.address, subject, { flows: count, seconds: 2 });
      await subject.close();
      // Of fewer what the program itself takes would drown it.
      const counted = count >= 1000 ? count / 1e6 : Number.NaN;
      yield {
        count,
        costs: {
          "CPU of a datagram": run.cpuUs,
          "p50 there and back": run.p50Us,
          memory: run.flowBytes * counted,
          "memory of the kernel": run.kernelFlowBytes * counted,
        },
      };
    }
  },
});
