import { expect, test } from "bun:test";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { StreamError } from "../../src/protocol/byte-stream.ts";
import { FrameStream } from "../../src/protocol/frame.ts";
import type { Exit } from "../../src/protocol/session-message.ts";
import { SessionClient } from "../../src/protocol/session-client.ts";
import { OutputBudget } from "../../src/protocol/session-output.ts";
import { SessionState } from "../../src/protocol/session-server.ts";
import { memoryPair } from "../support/memory-stream.ts";
import { between, type Random, randomBytes, seed, seededRandom } from "../support/seed.ts";

/**
 * A session over a link that cuts, stalls and breaks: both ends are the real state machines, the
 * drivers are the shortest that can work. Every run is one seed; FV_SEED repeats from another one.
 */

const runs = 3000;

test(`a session is byte exact over a breaking link (${runs} seeds from ${seed})`, async () => {
  let connections = 0;
  for (let run = 0; run < runs; run++) {
    const outcome = await simulate(seed + run, { holdsBack: true });
    const label = `FV_SEED=${seed + run}`;
    expect([label, outcome.lostBytes]).toEqual([label, 0]);
    expect([label, equal(outcome.stdin, outcome.stdinSent)]).toEqual([label, true]);
    expect([label, equal(outcome.stdout, outcome.stdoutWritten)]).toEqual([label, true]);
    expect([label, equal(outcome.stderr, outcome.stderrWritten)]).toEqual([label, true]);
    expect([label, outcome.exits]).toEqual([label, [{ code: outcome.exitCode }]]);
    connections += outcome.connections;
  }
  expect(connections).toBeGreaterThan(runs * 3);
}, 120_000);

test(`output that outran the ring is counted as lost, all else is exact (${runs / 3} seeds)`, async () => {
  let runsWithLoss = 0;
  for (let run = 0; run < runs / 3; run++) {
    const outcome = await simulate(seed + run, { holdsBack: false });
    const label = `FV_SEED=${seed + run}`;
    const shown = outcome.stdout.length + outcome.stderr.length;
    const written = outcome.stdoutWritten.length + outcome.stderrWritten.length;
    expect([label, shown + outcome.lostBytes]).toEqual([label, written]);
    expect([label, outcome.misplaced]).toEqual([label, 0]);
    expect([label, equal(outcome.stdin, outcome.stdinSent)]).toEqual([label, true]);
    if (outcome.lostBytes > 0) runsWithLoss += 1;
  }
  expect(runsWithLoss).toBeGreaterThan(runs / 30);
}, 120_000);

interface Outcome {
  stdinSent: Uint8Array;
  stdin: Uint8Array;
  stdoutWritten: Uint8Array;
  stderrWritten: Uint8Array;
  stdout: Uint8Array;
  stderr: Uint8Array;
  lostBytes: number;
  /** Shown bytes that differ from what was written at their offset. */
  misplaced: number;
  exits: Exit[];
  exitCode: number;
  connections: number;
}

async function simulate(start: number, options: { holdsBack: boolean }): Promise<Outcome> {
  const random = seededRandom(start);
  const world = new World(random, options.holdsBack);
  let attempts = 0;
  while (!world.done) {
    attempts += 1;
    if (attempts > 500) throw new Error(`Run ${start} makes no progress`);
    const pair = memoryPair({
      random,
      bufferBytes: between(random, 1, 3000),
      stallChance: 0.2,
      // Later connections live longer, so that every run comes to an end.
      cutAfterBytes: between(random, 1, 500 * attempts),
    });
    await Promise.all([
      world.serve(pair.far, attempts).catch(expectLinkLoss).finally(pair.cut),
      world.use(pair.near, attempts).catch(expectLinkLoss).finally(pair.cut),
    ]);
    world.workAlone();
  }
  return world.outcome(attempts);
}

function expectLinkLoss(error: unknown): void {
  if (!(error instanceof StreamError)) throw error;
}

const ringBytes = 700;
const ackBytes = 200;

/** Both processes of one run: what survives their connections. */
class World {
  readonly #random: Random;
  readonly #holdsBack: boolean;
  readonly #stdinSent: Uint8Array;
  readonly #written: Record<"stdout" | "stderr", Uint8Array>;
  readonly #exitCode: number;
  readonly #client: SessionClient;
  readonly #state: SessionState;
  #stdinRead = 0;
  readonly #stdinTaken: Uint8Array[] = [];
  #stdinEnded = false;
  readonly #shown: { stream: "stdout" | "stderr"; offset: number; bytes: Uint8Array }[] = [];
  #lostBytes = 0;
  readonly #exits: Exit[] = [];
  #started = false;
  #acknowledged = false;

  constructor(random: Random, holdsBack: boolean) {
    this.#random = random;
    this.#holdsBack = holdsBack;
    this.#stdinSent = randomBytes(random, between(random, 0, 2000));
    this.#written = {
      stdout: randomBytes(random, between(random, 0, 3000)),
      stderr: randomBytes(random, between(random, 0, 1500)),
    };
    this.#exitCode = between(random, 0, 255);
    const windowBytes = between(random, 1, 600);
    this.#client = new SessionClient({ windowBytes, ackBytes });
    this.#state = new SessionState({
      budget: new OutputBudget(1_000_000),
      ringBytes,
      inputWindowBytes: windowBytes,
    });
  }

  get done(): boolean {
    return this.#acknowledged;
  }

  /** The client's driver for one connection. */
  async use(stream: ByteStream, attempt: number): Promise<void> {
    const frames = new FrameStream(stream);
    if (attempt > 1) await frames.write(0x01, offsetsOf(this.#client.shownOffsets));
    else await frames.write(0x01, new Uint8Array(0));
    const reply = await frames.read();
    if (reply === null) return;
    this.#client.attached({ stdin_offset: readNumber(reply.payload) });
    const reading = this.#showOutput(frames);
    try {
      await this.#pump(
        () => this.#client.poll(),
        frames,
        () => this.#readStdin(),
      );
    } finally {
      await reading;
    }
  }

  async #showOutput(frames: FrameStream): Promise<void> {
    for (;;) {
      const before = this.#client.shownOffsets;
      const frame = await frames.read();
      if (frame === null) return;
      const event = this.#client.receive(frame);
      if (event.kind === "output" && event.bytes.length > 0)
        this.#shown.push({
          stream: event.stream,
          offset: before[`${event.stream}_offset`],
          bytes: event.bytes,
        });
      if (event.kind === "lost") this.#lostBytes += event.lostBytes;
      if (event.kind === "exit" && this.#exits.length === 0) this.#exits.push(event.exit);
      if (event.kind === "error") throw event.error;
    }
  }

  #readStdin(): void {
    const count = Math.min(this.#client.roomBytes, between(this.#random, 0, 300));
    this.#client.write(this.#stdinSent.slice(this.#stdinRead, this.#stdinRead + count));
    this.#stdinRead = Math.min(this.#stdinSent.length, this.#stdinRead + count);
    if (this.#stdinRead === this.#stdinSent.length) this.#client.end();
  }

  /** The server's driver for one connection. */
  async serve(stream: ByteStream, attempt: number): Promise<void> {
    const frames = new FrameStream(stream);
    const request = await frames.read();
    if (request === null) return;
    const shown =
      attempt > 1 && request.payload.length > 0
        ? { stdout: readNumber(request.payload), stderr: readNumber(request.payload.subarray(8)) }
        : { stdout: 0, stderr: 0 };
    const attachment = this.#state.attach({ id: "one", shown, holdsBack: this.#holdsBack });
    this.#started = true;
    await frames.write(0x02, numberOf(attachment.stdinOffset));
    const reading = (async () => {
      for (;;) {
        const frame = await frames.read();
        if (frame === null) return;
        const event = attachment.receive(frame);
        if (event.kind === "stdin") {
          this.#stdinTaken.push(event.bytes);
          attachment.stdinTaken(event.bytes.length);
        }
        if (event.kind === "stdin-end") this.#stdinEnded = true;
        if (event.kind === "exit-ack") {
          this.#acknowledged = true;
          throw new StreamError("aborted", "Done");
        }
      }
    })();
    try {
      await this.#pump(
        () => attachment.poll(),
        frames,
        () => this.#work(),
      );
    } finally {
      await reading;
    }
  }

  /** The process goes on while nobody is connected. */
  workAlone(): void {
    for (let turn = between(this.#random, 0, 5); turn > 0; turn--) this.#work();
  }

  #work(): void {
    if (!this.#started) return;
    let left = 0;
    for (const name of ["stdout", "stderr"] as const) {
      const ring = this.#state[name];
      const count = Math.min(this.#state.readableBytes(name), between(this.#random, 0, 300));
      if (!ring.ended)
        ring.append(this.#written[name].subarray(ring.endOffset, ring.endOffset + count));
      left += this.#written[name].length - ring.endOffset;
    }
    if (left === 0 && this.#stdinEnded && this.#state.exit === undefined)
      this.#state.finish({ code: this.#exitCode });
  }

  /** Sends whatever there is until the stream breaks; a turn without a frame lets the others run. */
  async #pump(
    poll: () => Uint8Array | undefined,
    frames: FrameStream,
    work: () => void,
  ): Promise<void> {
    while (!this.#acknowledged) {
      work();
      const frame = poll();
      if (frame === undefined) {
        // An empty write finds out whether the link still stands.
        await frames.stream.write(new Uint8Array(0));
        for (let turn = 0; turn < 4; turn++) await Promise.resolve();
      } else {
        await frames.writeEncoded(frame);
      }
    }
  }

  outcome(connections: number): Outcome {
    return {
      stdinSent: this.#stdinSent,
      stdin: concat(this.#stdinTaken),
      stdoutWritten: this.#written.stdout,
      stderrWritten: this.#written.stderr,
      stdout: concat(this.#shown.filter((piece) => piece.stream === "stdout").map((p) => p.bytes)),
      stderr: concat(this.#shown.filter((piece) => piece.stream === "stderr").map((p) => p.bytes)),
      lostBytes: this.#lostBytes,
      misplaced: this.#shown.filter(({ stream, offset, bytes }) => {
        return !equal(bytes, this.#written[stream].subarray(offset, offset + bytes.length));
      }).length,
      exits: this.#exits,
      exitCode: this.#exitCode,
      connections,
    };
  }
}

function offsetsOf(offsets: { stdout_offset: number; stderr_offset: number }): Uint8Array {
  return concat([numberOf(offsets.stdout_offset), numberOf(offsets.stderr_offset)]);
}

function numberOf(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

function readNumber(bytes: Uint8Array): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0));
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
