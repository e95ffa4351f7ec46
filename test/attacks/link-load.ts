import { createHash } from "node:crypto";
import { expect } from "bun:test";
import { StreamError } from "../../src/protocol/byte-stream.ts";
import type { Exit, SessionOpenRequest } from "../../src/protocol/session-message.ts";
import { parseForward } from "../../src/roles/client/forward/forward-spec.ts";
import { Forwards } from "../../src/roles/client/forward/forwards.ts";
import type { AttestedLink } from "../../src/roles/client/link/attested-link.ts";
import { SessionRun } from "../../src/roles/client/session/session-run.ts";
import { openLink } from "../../src/roles/client/link/vault-link.ts";
import { connectTcp, type Listening, listenTcp } from "../../src/system/tcp-stream.ts";
import { late, within } from "../../src/system/within.ts";
import { freePort } from "../support/free-port.ts";
import { weakToken } from "../support/login-stage.ts";
import { memoryContext } from "../support/memory-context.ts";
import { randomBytes, type Random } from "../support/seed.ts";
import type { AttackStage } from "./stage.ts";

/** The client role's own link to the stage's machine: it comes back by itself. */
export async function openClient(stage: AttackStage): Promise<AttestedLink> {
  const { host, port } = stage.address;
  const config = {
    name: "my-dev",
    path: "/nowhere/config.toml",
    folder: "/nowhere",
    address: `${host}:${port}`,
    org: "acme",
    app: "dev-vaults",
    machine_id: "148e21ea7e46e8",
    issuer: stage.login.issuer.url(),
    forward: [],
    reverse_forward: [],
    dynamic_forward: [],
  };
  const context = memoryContext({ env: { HOME: stage.login.stateDir } });
  const options = {
    reconnectMs: undefined,
    transport: undefined,
    verbose: 0,
    quiet: true,
  };
  return openLink({ config, accessToken: async () => weakToken }, options, context);
}

/** One session of a client, and when it was attached again. */
class LoadedSession {
  readonly run: SessionRun;
  readonly exit: Promise<Exit>;
  readonly comebacks: number[] = [];
  lostBytes = 0;

  constructor(
    link: AttestedLink,
    wish: Partial<SessionOpenRequest>,
    output: (bytes: Uint8Array) => void,
  ) {
    const client = crypto.randomUUID();
    const request = {
      type: "session-open",
      id: crypto.randomUUID(),
      client,
      tty: false,
      ...wish,
    } as const;
    this.run = new SessionRun(
      link,
      { first: [request], client },
      {
        output: async (_stream, bytes) => output(bytes),
        lost: async (_stream, lostBytes) => {
          this.lostBytes += lostBytes;
        },
        attached: (_reply, again) => {
          if (again) this.comebacks.push(performance.now());
        },
      },
    );
    this.exit = this.run.run();
    this.exit.catch(() => undefined);
  }

  async until(isSo: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + 30_000;
    while (!isSo()) {
      if (performance.now() > deadlineMs) throw new Error(`Not so after 30 s: ${String(isSo)}`);
      await Promise.race([Bun.sleep(5), this.exit]);
    }
  }

  /** Told apart from a test that is too slow: a session that is not attached again is lost. */
  async ended(): Promise<Exit> {
    const exit = await within(this.exit, 30_000);
    if (exit === late) throw new Error("The session does not end");
    return exit;
  }
}

/** Numbered lines out of a command, until a file appears; each is looked at as it comes. */
export class LineStream {
  readonly session: LoadedSession;
  #text = "";
  #last = 0;

  /** Resolves once the first lines are there. */
  static async begin(link: AttestedLink): Promise<LineStream> {
    const lines = new LineStream(link);
    await lines.session.until(() => lines.count > 0);
    return lines;
  }

  private constructor(link: AttestedLink) {
    const decoder = new TextDecoder();
    this.session = new LoadedSession(link, { argv: ["/bin/sh", "-c", lineScript] }, (bytes) =>
      this.#receive(decoder.decode(bytes, { stream: true })),
    );
  }

  get count(): number {
    return this.#last;
  }

  async finish(stage: AttackStage): Promise<void> {
    await stage.machine.shell(`touch ${enoughFile}`);
    expect(await this.session.ended()).toEqual({ code: 9 });
    expect(this.#text).toBe(`the last is ${this.#last}\n`);
    expect(this.session.lostBytes).toBe(0);
  }

  #receive(text: string): void {
    this.#text += text;
    for (;;) {
      const next = `line ${this.#last + 1}\n`;
      if (!this.#text.startsWith(next)) break;
      this.#last += 1;
      this.#text = this.#text.slice(next.length);
    }
    // What is left is the beginning of the next line, or the last words.
    const rest = this.#text;
    const isBeginning = `line ${this.#last + 1}\n`.startsWith(rest);
    if (!isBeginning && !`the last is ${this.#last}\n`.startsWith(rest))
      throw new Error(`After line ${this.#last}: ${JSON.stringify(rest.slice(0, 100))}`);
  }
}

const enoughFile = "/tmp/enough-lines";
const lineScript = `n=0
while [ ! -e ${enoughFile} ]; do
  i=0
  while [ $i -lt 100 ]; do i=$((i+1)); n=$((n+1)); echo "line $n"; done
  sleep 0.02
done
echo "the last is $n"
exit 9`;

/** Random bytes through `cat` and back, for as long as it is not finished. */
export class EchoStream {
  readonly session: LoadedSession;
  readonly #feeding: Promise<void>;
  readonly #sent = createHash("sha256");
  readonly #received = createHash("sha256");
  bytes = 0;
  #enough = false;

  /** Resolves once the first bytes came back. */
  static async begin(link: AttestedLink, random: Random): Promise<EchoStream> {
    const echo = new EchoStream(link, random);
    await echo.session.until(() => echo.bytes > 0);
    return echo;
  }

  private constructor(link: AttestedLink, random: Random) {
    this.session = new LoadedSession(link, { argv: ["cat"] }, (bytes) => {
      this.#received.update(bytes);
      this.bytes += bytes.length;
    });
    this.#feeding = this.#feed(random);
    this.#feeding.catch(() => undefined);
  }

  async finish(): Promise<void> {
    this.#enough = true;
    if ((await within(this.#feeding, 30_000)) === late) throw new Error("The input is not taken");
    expect(await this.session.ended()).toEqual({ code: 0 });
    expect(this.#received.digest("hex")).toBe(this.#sent.digest("hex"));
    expect(this.session.lostBytes).toBe(0);
  }

  async #feed(random: Random): Promise<void> {
    while (!this.#enough) {
      const block = randomBytes(random, 1 + Math.floor(random() * 16_384));
      this.#sent.update(block);
      await this.session.run.feed(block);
      await Bun.sleep(4);
    }
    this.session.run.endInput();
  }
}

/** A person at a shell: asks for its number again and again. */
export class ShellTalk {
  readonly session: LoadedSession;
  #screen = "";
  #asked = 0;
  #pid: string | undefined;

  constructor(link: AttestedLink) {
    const wish = { tty: true, rows: 24, cols: 200 };
    const decoder = new TextDecoder();
    this.session = new LoadedSession(link, wish, (bytes) => {
      this.#screen += decoder.decode(bytes, { stream: true });
    });
  }

  /** Every answer comes once, from the same process. */
  async ask(): Promise<void> {
    this.#asked += 1;
    await this.#type(`echo "<${this.#asked}:$$>"\n`);
    const answer = new RegExp(`<${this.#asked}:(\\d+)>`);
    const deadlineMs = performance.now() + 30_000;
    while (!answer.test(this.#screen)) {
      if (performance.now() > deadlineMs) throw new Error(`No answer: ${this.#screen}`);
      await Bun.sleep(5);
    }
    const pid = answer.exec(this.#screen)?.[1];
    this.#pid ??= pid;
    expect(pid).toBe(this.#pid);
  }

  async finish(): Promise<void> {
    const numbers = [...this.#screen.matchAll(/<(\d+):\d+>/g)].map((match) => Number(match[1]));
    expect(numbers).toEqual(Array.from({ length: this.#asked }, (_, i) => i + 1));
    await this.#type("exit 5\n");
    expect(await this.session.ended()).toEqual({ code: 5 });
  }

  async #type(text: string): Promise<void> {
    await this.session.run.feed(new TextEncoder().encode(text));
  }
}

function listenEcho(): Listening {
  return listenTcp(loopback, {
    onConnection: (stream) => {
      const answer = async (): Promise<void> => {
        for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
          await stream.write(bytes);
        await stream.end();
      };
      answer().catch(() => stream.abort(0));
    },
  });
}

/** A forwarded port: its connections die with the link, its listener does not. */
export class ForwardedPort {
  readonly #forwards: Forwards;
  readonly #target: Listening;
  readonly #port: number;
  answered = 0;
  broken = 0;
  #enough = false;
  readonly #asking: Promise<void>;

  static async open(link: AttestedLink): Promise<ForwardedPort> {
    const port = freePort();
    const target = listenEcho();
    const spec = parseForward("L", `${port}:${loopback.host}:${target.port}`);
    const options = { vault: "my-dev", gateway: false, note: () => undefined };
    const forwards = await Forwards.open([spec], options, memoryContext());
    forwards.use(link);
    return new ForwardedPort(forwards, target, port);
  }

  private constructor(forwards: Forwards, target: Listening, port: number) {
    this.#forwards = forwards;
    this.#target = target;
    this.#port = port;
    this.#asking = this.#askOn();
    this.#asking.catch(() => undefined);
  }

  async finish(): Promise<void> {
    this.#enough = true;
    await this.#asking;
    expect(await this.#ask()).toBe(true);
    await this.#forwards.close();
    this.#target.close();
  }

  async #askOn(): Promise<void> {
    while (!this.#enough) {
      if (await this.#ask()) this.answered += 1;
      else this.broken += 1;
      await Bun.sleep(20);
    }
  }

  /** False when the connection broke on the way; wrong bytes are an error. */
  async #ask(): Promise<boolean> {
    const stream = await connectTcp({ host: loopback.host, port: this.#port });
    const question = crypto.getRandomValues(new Uint8Array(1000));
    try {
      await stream.write(question);
      await stream.end();
      const parts: Uint8Array[] = [];
      for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
        parts.push(bytes);
      const answer = Buffer.concat(parts);
      expect(answer.equals(Buffer.from(question))).toBe(true);
      return true;
    } catch (error) {
      if (error instanceof StreamError) return false;
      throw error;
    }
  }
}

const loopback = { host: "127.0.0.1", port: 0 } as const;
