import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type { Listening } from "../../../system/tcp-stream.ts";
import { splice } from "../../../system/splice.ts";
import type { Account } from "../account.ts";
import type { GuestView } from "./guest-view.ts";

/** Opens a way to the agent of one client; undefined when it refuses or is gone. */
export type AgentOpener = () => Promise<ByteStream | undefined>;

/**
 * One socket for each user of the guest, always of the same name, that leads to the agent of the
 * client that came last. So a shell that was started long ago finds the keys of whoever is there now.
 */
export class AgentSockets {
  readonly #guest: GuestView;
  readonly #users = new Map<number, UserAgent>();

  constructor(guest: GuestView) {
    this.#guest = guest;
  }

  get size(): number {
    return this.#users.size;
  }

  /** From now on `open` is whom its programs meet. Returns the path for SSH_AUTH_SOCK. */
  async offer(account: Account, open: AgentOpener): Promise<string> {
    const agent = this.#users.get(account.uid) ?? { openers: [], listening: undefined };
    this.#users.set(account.uid, agent);
    agent.openers.push(open);
    const path = agentPath(account.uid);
    agent.listening ??= this.#guest.listenInRun(account, path, (stream) => {
      void connect(stream, agent.openers.at(-1));
    });
    try {
      await agent.listening;
    } catch (error) {
      this.withdraw(account, open);
      throw error;
    }
    return path;
  }

  /** Its client is gone: the one before it is asked again, if there is one. */
  withdraw(account: Account, open: AgentOpener): void {
    const agent = this.#users.get(account.uid);
    if (agent === undefined) return;
    agent.openers = agent.openers.filter((other) => other !== open);
    if (agent.openers.length > 0) return;
    this.#users.delete(account.uid);
    agent.listening?.then((listening) => listening.close()).catch(() => undefined);
  }

  /** The path while somebody offers an agent to that user. */
  pathFor(account: Account): string | undefined {
    return this.#users.has(account.uid) ? agentPath(account.uid) : undefined;
  }
}

interface UserAgent {
  openers: AgentOpener[];
  listening: Promise<Listening> | undefined;
}

/** /run is root's in every image, and its own tmpfs in every workload. */
function agentPath(uid: number): string {
  return uid === 0 ? "/run/fly-vault/agent.sock" : `/run/fly-vault/agent-${uid}.sock`;
}

async function connect(stream: ByteStream, open: AgentOpener | undefined): Promise<void> {
  const agent = await open?.();
  if (agent === undefined) stream.abort(0);
  else await splice(stream, agent);
}
