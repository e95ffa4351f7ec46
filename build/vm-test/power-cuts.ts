import { programEnv, programPath } from "../../test/support/program.ts";
import { seed, seededRandom } from "../../test/support/seed.ts";
import { readStamps, stampedArchive, wholeStamps } from "./archives.ts";
import type { Stage } from "./stage.ts";

/** A root filesystem that the machine may have, and how it looks when it is whole. */
interface Version {
  readonly name: string;
  readonly archive: string;
  readonly whole: string;
}

/** What is found after a cut. */
export interface CutResult {
  /** When power went. */
  readonly moment: string;
  readonly found: "old" | "new";
  readonly toldDone: boolean;
  readonly bootMs: number;
}

/** What `provision` says it has come to when all is unpacked, and how long what follows takes here, about. */
const stages = [
  { words: "· sync", lastsMs: 4000 },
  { words: "· switch", lastsMs: 2000 },
] as const;
const keptLine = `kept since before all cuts, seed ${seed}`;

/**
 * Power goes while the machine is given another root filesystem, at a moment by chance. After the next boot
 * it has the old one or the new one, whole, and the homes are as they were.
 */
export class PowerCuts {
  readonly #stage: Stage;
  readonly #random = seededRandom(seed);
  #count = 0;
  #current: Version;
  #next: Version;
  /** How long a provisioning takes that nothing disturbs. */
  readonly wholeMs: number;

  private constructor(stage: Stage, versions: readonly [Version, Version], wholeMs: number) {
    this.#stage = stage;
    [this.#current, this.#next] = versions;
    this.wholeMs = wholeMs;
  }

  static async prepare(stage: Stage): Promise<PowerCuts> {
    const one = await version(stage, "one", 1);
    const two = await version(stage, "two", 2);
    await stage.client(["provision", "dev", "--from", two.archive], { timeoutMs: 600_000 });
    const startedMs = performance.now();
    await stage.client(["provision", "dev", "--from", one.archive], { timeoutMs: 600_000 });
    const wholeMs = performance.now() - startedMs;
    await stage.shell(
      `mkdir -p /home/dev; echo '${keptLine}' | busybox tee /root/kept >/home/dev/kept; busybox chown 1000:1000 /home/dev/kept; busybox sync`,
    );
    const cuts = new PowerCuts(stage, [one, two], wholeMs);
    if ((await cuts.#look()) !== one) throw new Error("The first root filesystem is not there");
    return cuts;
  }

  /** Cuts once. Rejects where anything is not as promised. */
  async cut(): Promise<CutResult> {
    const [before, after] = [this.#current, this.#next];
    const client = Bun.spawn(
      [programPath("fly-vault"), "provision", "dev", "--from", after.archive],
      { env: programEnv(this.#stage.vault.env), stdio: ["ignore", "ignore", "pipe"], cwd: "/" },
    );
    const moment = await this.#moment(client.stderr);
    const toldDone = client.exitCode === 0;
    await this.#stage.cutPower();
    // Else it would go on where it was, as soon as the machine is back.
    client.kill("SIGKILL");
    await client.exited;
    const startedMs = performance.now();
    await this.#stage.untilUp();
    const bootMs = performance.now() - startedMs;
    const found = await this.#look();
    if (toldDone && found !== after)
      throw new Error(`It was said to be done, and after the cut it is not there`);
    [this.#current, this.#next] = found === before ? [before, after] : [after, before];
    return { moment, found: found === before ? "old" : "new", toldDone, bootMs };
  }

  /**
   * Waits for it. Of all the time that it takes, the change of places is a small part: every second cut is
   * made from the moment on when all is unpacked, or when places are changed.
   */
  async #moment(progress: ReadableStream<Uint8Array>): Promise<string> {
    const number = this.#count;
    this.#count += 1;
    const chance = this.#random();
    if (number % 2 === 0) {
      const afterMs = chance * this.wholeMs * 1.1;
      await Bun.sleep(afterMs);
      return `after ${seconds(afterMs)}`;
    }
    const { words, lastsMs } = stages[number % 4 === 1 ? 0 : 1];
    await printed(progress, words);
    const afterMs = chance * lastsMs;
    await Bun.sleep(afterMs);
    return `${seconds(afterMs)} after "${words}"`;
  }

  /** Which of the two the machine has. Rejects where it is neither, or both, or a home has changed. */
  async #look(): Promise<Version> {
    const seen = await this.#stage.shell(readStamps);
    const found = [this.#current, this.#next].find(({ whole }) => whole === seen);
    if (found === undefined) throw new Error(`A mixture of root filesystems:\n${seen}`);
    const homes = await this.#stage.shell(
      "cat /root/kept /home/dev/kept; busybox stat -c '%u:%g' /root/kept /home/dev/kept",
    );
    if (homes !== `${keptLine}\n${keptLine}\n0:0\n1000:1000\n`)
      throw new Error(`Homes are not as they were:\n${homes}`);
    return found;
  }
}

/** Resolves at these words; goes on reading, for a pipe that nobody reads would end its writer. */
async function printed(stream: ReadableStream<Uint8Array>, words: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of stream) {
      text += decoder.decode(bytes, { stream: true });
      if (text.includes(words)) resolve();
    }
    reject(new Error(`provision ended without "${words}":\n${text}`));
  };
  read().catch(reject);
  return promise;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

async function version(stage: Stage, name: string, stampSeed: number): Promise<Version> {
  const archive = await stampedArchive(stage.fly.folder, name, stampSeed);
  return { name, archive, whole: wholeStamps(name, stampSeed) };
}
