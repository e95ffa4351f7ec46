import { growth } from "../harness/growth.ts";
import { timed } from "../harness/rounds.ts";
import { median } from "../harness/statistics.ts";
import { commandMs } from "../peers/command.ts";
import { residentMb } from "../peers/process-figures.ts";
import { openBusyboxVault } from "../peers/vault.ts";

const rounds = 5;

/** Sessions that run at the same time, each with a command that waits. */
await growth({
  name: "sessions",
  of: "sessions",
  counts: [1, 10, 50, 100, 200],
  costs: [
    { name: "starting one more", unit: "ms" },
    { name: "listing them", unit: "ms" },
    { name: "init's memory above an idle one", unit: "MB" },
  ],
  measure: async function* (counts) {
    await using vault = await openBusyboxVault();
    const memory = (): number => vault.initPids.reduce((sum, pid) => sum + residentMb(pid), 0);
    const start = async (): Promise<number> =>
      commandMs(vault.client("run", "dev", "--", "sleep", "100000"), vault.env);
    await start();
    const idleMb = memory();
    let running = 1;
    for (const count of counts) {
      const starts: number[] = [];
      for (; running < count; running++) starts.push(await start());
      const lists: number[] = [];
      for (let round = 0; round < rounds; round++)
        lists.push(
          await timed(async () => commandMs(vault.client("sessions", "dev", "--json"), vault.env)),
        );
      yield {
        count,
        costs: {
          "starting one more": median(starts.slice(-10)),
          "listing them": median(lists),
          "init's memory above an idle one": memory() - idleMb,
        },
      };
    }
  },
});
