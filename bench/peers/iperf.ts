import { findProgram, system } from "../harness/sandbox.ts";

/** Datagrams as fast as one process sends them and another takes them, with a system call for each. */
export interface Iperf extends AsyncDisposable {
  /** Megabytes a second that arrived. */
  rate(direction: "up" | "down"): number;
}

interface Report {
  readonly end: {
    readonly sum: {
      readonly seconds: number;
      readonly packets: number;
      readonly lost_packets: number;
    };
  };
}

const datagramBytes = 1200;

/** Null where iperf3 is not installed. */
export async function openIperf(): Promise<Iperf | null> {
  const program = findProgram("iperf3");
  if (program === null) return null;
  const server = Bun.spawn([program, "-s"], { stdio: ["ignore", "ignore", "ignore"] });
  await Bun.sleep(500);
  const options = ["-c", "127.0.0.1", "-u", "-b", "0", "-l", String(datagramBytes), "-t", "3"];
  return {
    rate: (direction) => {
      const reverse = direction === "down" ? ["-R"] : [];
      const { end } = JSON.parse(system(program, ...options, ...reverse, "-J")) as Report;
      const { packets, lost_packets, seconds } = end.sum;
      return ((packets - lost_packets) * datagramBytes) / 1e6 / seconds;
    },
    [Symbol.asyncDispose]: async () => {
      server.kill();
      await server.exited;
    },
  };
}
