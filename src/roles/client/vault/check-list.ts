import type { Context } from "../../../cli/context.ts";
import { printable } from "../../../cli/printable.ts";
import { colouredMark } from "../../../cli/symbols.ts";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import type { VaultProbe } from "./vault-probe.ts";

/** The steps to a vault, told as they pass, each once. A step that fails rejects with its `Failure`. */
export class CheckList {
  readonly #context: Context;
  readonly #isQuiet: boolean;
  readonly #told = new Set<string>();

  constructor(context: Context, isQuiet: boolean) {
    this.#context = context;
    this.#isQuiet = isQuiet;
  }

  async answers(probe: VaultProbe): Promise<void> {
    this.#tellAnswer(await probe.answers());
  }

  async attested(probe: VaultProbe): Promise<void> {
    this.#tellMachine(await probe.attest());
  }

  /** The whole way at once; what was told before is not told again. */
  async accepted(
    probe: VaultProbe,
    token: string,
    trusting?: AttestedMachine,
  ): Promise<AttestedMachine> {
    const { machine } = await probe.login(
      token,
      { trusting, onAttested: (found) => this.#tellMachine(found) },
      (dialMs) => this.#tellAnswer(dialMs),
    );
    this.#tell("token", "token accepted");
    return machine;
  }

  #tellAnswer(dialMs: number): void {
    this.#tell("answer", `proxy answers in ${Math.round(dialMs)} ms`);
  }

  #tellMachine({ appName, machineId, region }: AttestedMachine): void {
    const where = region === undefined ? "" : ` in ${region}`;
    this.#tell("machine", printable(`attested: app ${appName}, machine ${machineId}${where}`));
  }

  #tell(step: string, words: string): void {
    if (this.#isQuiet || this.#told.has(step)) return;
    this.#told.add(step);
    const ok = colouredMark("ok", "stderr", this.#context);
    this.#context.stderr.write(`${ok} ${words}\n`).catch(() => undefined);
  }
}
