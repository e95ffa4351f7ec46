import { fileURLToPath } from "node:url";
import { childEnv } from "../../src/system/child-env.ts";
import { LoadProcess } from "./load-process.ts";
import { benchMaster, openOurs } from "./ours.ts";
import { pinned, type Subject } from "./subject.ts";

/** How flows fare: with a steady load, with all that gets through, and there and back. */
export interface Health {
  /** Of the datagrams of the steady load. */
  readonly arrivedPart: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Processors that the proxy used under the steady load. */
  readonly proxyCpus: number;
}

export interface FloodRun {
  readonly calm: Health;
  readonly beside: Health;
  readonly floodPerSecond: number;
  readonly floodCpus: number;
}

/** 100 flows with and without forged admissions beside them. */
export async function measureFlood(seconds: number, floodPerSecond: number): Promise<FloodRun> {
  const subject = await openOurs(100);
  try {
    await using load = new LoadProcess({ target: subject.address, flows: 100, seconds });
    for (let step = 0; step < 4; step++) await load.next();
    const calm = await measureHealth(load, subject, seconds);
    const flood = startFlood(subject, 3 * seconds + 3, floodPerSecond);
    await Bun.sleep(1000);
    const beside = await measureHealth(load, subject, seconds);
    const { sent, cpuSeconds } = JSON.parse(await flood.stdout.text());
    const lasted = 3 * seconds + 3;
    return { calm, beside, floodPerSecond: sent / lasted, floodCpus: cpuSeconds / lasted };
  } finally {
    await subject.close();
  }
}

async function measureHealth(
  load: LoadProcess,
  subject: Subject,
  seconds: number,
): Promise<Health> {
  const cpu = subject.cpuSeconds();
  const steady = await load.next();
  const proxyCpus = (subject.cpuSeconds() - cpu) / seconds;
  const most = await load.next();
  const latency = await load.next();
  return {
    arrivedPart: (steady["perSecond"] ?? 0) / (steady["offeredPerSecond"] ?? 1),
    perSecond: most["perSecond"] ?? 0,
    p50Us: latency["p50"] ?? 0,
    p99Us: latency["p99"] ?? 0,
    proxyCpus,
  };
}

function startFlood(
  { address }: Subject,
  seconds: number,
  perSecond: number,
): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const file = fileURLToPath(new URL("flood.ts", import.meta.url));
  const plan = { target: address, perSecond, seconds, epoch: benchMaster.epoch };
  return Bun.spawn([...pinned(0), process.execPath, file, JSON.stringify(plan)], {
    env: childEnv({ PATH: process.env["PATH"] }),
    stdio: ["ignore", "pipe", "inherit"],
  });
}
