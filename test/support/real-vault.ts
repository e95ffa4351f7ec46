import { main } from "../../src/roles/client/main.ts";
import { TestMachine } from "../roles/init/machine.ts";
import { memoryContext } from "./memory-context.ts";
import { TestVault } from "./test-vault.ts";
import { jsonOutputs } from "../../src/roles/client/json-outputs.ts";
import { checkPrintedJson } from "./printed-json.ts";

export interface ClientOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/**
 * The keeper of a real init, from source, with real processes; in front of it the link of a `TestVault`,
 * which may be logged in to as often as a test likes.
 */
export class RealVault implements AsyncDisposable {
  readonly machine: TestMachine;
  readonly #front: TestVault;

  private constructor(machine: TestMachine, front: TestVault) {
    this.machine = machine;
    this.#front = front;
  }

  static async boot(): Promise<RealVault> {
    const machine = await TestMachine.boot();
    const front = await TestVault.open();
    front.keeper = () => machine.connect();
    return new RealVault(machine, front);
  }

  /** The environment of a client whose vault "dev" it is. */
  get env(): Readonly<Record<string, string>> {
    return this.#front.env;
  }

  /** A client in this process, to its end. */
  async run(
    words: readonly string[],
    stdin = "",
    env: Readonly<Record<string, string>> = {},
  ): Promise<ClientOutcome> {
    const bytes = new TextEncoder().encode(stdin);
    const context = memoryContext({
      env: { ...this.env, ...env },
      stdin: bytes.length === 0 ? [] : [bytes],
    });
    const code = await main(words, context);
    checkPrintedJson(jsonOutputs, words, context.out());
    return { code, out: context.out(), err: context.err() };
  }

  /** Every connection is gone at once, and nobody is there for a while. */
  async restartLink(downMs = 100): Promise<void> {
    await this.#front.restartLink(downMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#front.close();
    await this.machine[Symbol.asyncDispose]();
  }
}
