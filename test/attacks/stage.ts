import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FrameStream } from "../../src/protocol/frame.ts";
import type { Connection } from "../../src/quic/connection.ts";
import { LoginStage, weakToken } from "../support/login-stage.ts";
import { type MachineOptions, TestMachine } from "../roles/init/machine.ts";

/** The whole of init as attackers meet it: over real QUIC, with evidence for whoever says hello. */
export class AttackStage {
  readonly login: LoginStage;
  readonly machine: TestMachine;
  readonly #api: Bun.Server<undefined>;
  /** What Fly's service in the machine was asked. */
  readonly apiRequests: string[] = [];
  /** Fly takes until then to answer. */
  evidenceHeld: Promise<void> | undefined;

  private constructor(login: LoginStage, machine: TestMachine) {
    this.login = login;
    this.machine = machine;
    this.#api = Bun.serve({
      unix: join(machine.folder, "api"),
      fetch: async (incoming) => {
        const body = await incoming.text();
        const head = [incoming.method, incoming.url, ...incoming.headers.entries()];
        this.apiRequests.push([...head, body].join("\n"));
        await this.evidenceHeld;
        const { aud } = JSON.parse(body) as { aud: string };
        return new Response(login.issuer.sign(aud, {}));
      },
    });
  }

  static async open(options: MachineOptions = {}): Promise<AttackStage> {
    // One address for every link of the machine, as on Fly: the next one hears the clients of the last.
    const [a = 0, b = 0, c = 0] = crypto.getRandomValues(new Uint8Array(3));
    const listen = `127.${a}.${b}.${(c % 254) + 1}:8443`;
    const env = {
      FLY_APP_NAME: "dev-vaults",
      ACCESS_TOKEN: weakToken,
      VAULT_LISTEN: listen,
      ...options.env,
    };
    const machine = new TestMachine({ ...options, env });
    const stage = new AttackStage(await LoginStage.open(), machine);
    await stage.machine.start();
    await stage.machine.untilLogged('"event":"listening"');
    return stage;
  }

  get address(): { host: string; port: number } {
    const text = readFileSync(join(this.machine.runDir, "listening"), "utf8").trim();
    const [host = "", port = ""] = text.split(":");
    return { host, port: Number(port) };
  }

  /** With the right token; waits for its turn at Fly, and for a link that is just starting. */
  async logIn(): Promise<Connection> {
    const deadlineMs = performance.now() + 30_000;
    for (;;) {
      try {
        const { login, connection, failure } = await this.login.login(this.address);
        if (login !== undefined) return connection;
        throw failure ?? new Error("Neither login nor failure");
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
        await Bun.sleep(100);
      }
    }
  }

  async close(): Promise<void> {
    await this.login.close();
    await this.machine[Symbol.asyncDispose]();
    // Not waited for: a request that nobody will answer would hold up whatever went wrong before.
    void this.#api.stop(true);
  }
}

export async function openFrames(connection: Connection): Promise<FrameStream> {
  return new FrameStream(await connection.openStream());
}
