import { growth } from "../harness/growth.ts";
import { timed } from "../harness/rounds.ts";
import { median } from "../harness/statistics.ts";
import { openOurs } from "../transport/ours.ts";

const streamBytes = 64 * 1024;
const rounds = 3;
/** What has not come by then has stalled. */
const patienceMs = 20_000;

/** Streams of one connection, all open at once, each with 64 KiB to bring. 512 is the most a connection has. */
await growth({
  name: "streams",
  of: "streams",
  counts: [1, 3, 10, 30, 100, 300, 500],
  costs: [
    { name: "all of them", unit: "ms" },
    { name: "each", unit: "ms" },
  ],
  measure: async function* (counts) {
    await using ours = await openOurs("fly-vault", {});
    await ours.connect();
    await ours.transfer("down", 1, 64e6);
    for (const count of counts) {
      const ms: number[] = [];
      for (let round = 0; round < rounds && !ms.includes(Number.NaN); round++) {
        const moving = timed(async () => ours.transfer("down", count, streamBytes));
        ms.push(await Promise.race([moving, Bun.sleep(patienceMs).then(() => Number.NaN)]));
      }
      const all = ms.includes(Number.NaN) ? Number.NaN : median(ms);
      yield { count, costs: { "all of them": all, each: all / count } };
      if (Number.isNaN(all)) return;
    }
  },
});
