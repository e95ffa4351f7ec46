import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { WireError } from "../../../protocol/errors.ts";
import { Reader } from "../../../protocol/wire.ts";
import { clientLimits } from "../limits.ts";

/**
 * One connection of a program in the vault to the agent here: it may list keys and have things signed.
 * An agent does more for whoever is at its socket, down to loading a library (CVE-2023-38408), and takes
 * us for a program of this computer. Until either side ends; rejects as the streams do.
 */
export async function guardAgent(asked: ByteStream, agent: ByteStream): Promise<void> {
  const questions = new AgentMessages(asked);
  const answers = new AgentMessages(agent);
  for (;;) {
    const question = await questions.next();
    if (question === null) break;
    let answer: Uint8Array | null = refusal;
    if (isAllowed(question)) {
      await agent.write(question);
      answer = await answers.next();
    }
    if (answer === null) break;
    await asked.write(answer);
  }
  await Promise.all([asked.end(), agent.end()]);
}

/** Of draft-ietf-sshm-ssh-agent. A binding says for whom a signature is, and widens nothing. */
function isAllowed(message: Uint8Array): boolean {
  const reader = new Reader(message, "Agent message");
  reader.bytes(4);
  const type = reader.u8();
  if (type === requestIdentities || type === signRequest) return true;
  if (type !== extension || message.length < 9) return false;
  const nameLength = reader.u32();
  const name = message.subarray(9, 9 + nameLength);
  return new TextDecoder().decode(name) === "session-bind@openssh.com";
}

const requestIdentities = 11;
const signRequest = 13;
const extension = 27;
/** Its length, and SSH_AGENT_FAILURE. */
const refusal = Uint8Array.of(0, 0, 0, 1, 5);

/** A stream of messages with their lengths in front. */
class AgentMessages {
  readonly #stream: ByteStream;
  #held = new Uint8Array(0);

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** The next one whole, its length included; null at the end of the stream. Rejects with `WireError`. */
  async next(): Promise<Uint8Array | null> {
    for (;;) {
      const length = this.#nextLength();
      if (length !== undefined && this.#held.length >= length) {
        const message = this.#held.slice(0, length);
        this.#held = this.#held.slice(length);
        return message;
      }
      const bytes = await this.#stream.read();
      if (bytes === null) return null;
      const joined = new Uint8Array(this.#held.length + bytes.length);
      joined.set(this.#held);
      joined.set(bytes, this.#held.length);
      this.#held = joined;
    }
  }

  #nextLength(): number | undefined {
    if (this.#held.length < 4) return undefined;
    const length = new DataView(this.#held.buffer).getUint32(0);
    if (length === 0 || length > clientLimits.agentMessageBytesMax)
      throw new WireError(`An agent's message of ${length} bytes`);
    return 4 + length;
  }
}
