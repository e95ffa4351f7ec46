import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type { Listening } from "../../../system/tcp-stream.ts";
import { splice } from "../../../system/splice.ts";
import { within } from "../../../system/within.ts";
import type { Account } from "../account.ts";
import type { GuestView } from "./guest-view.ts";
import { sshLimits } from "./limits.ts";

/** Opens a way to the agent of one client; undefined when it refuses or is gone. */
export type AgentOpener = () => Promise<ByteStream | undefined>;

/**
 * One socket for each user of the guest, always of the same name, that leads to the agent of the
 * client that came last. So a shell that was started long ago finds the keys of whoever is there now.
 */
export class AgentSockets {
  readonly #guest: Pick<GuestView, "listenInRun">;
  readonly #openMs: number;
  readonly #users = new Map<number, UserAgent>();

  constructor(guest: Pick<GuestView, "listenInRun">, openMs: number = sshLimits.agentOpenMs) {
    this.#guest = guest;
    this.#openMs = openMs;
  }

  get size(): number {
    return this.#users.size;
  }

  /** From now on `open` is whom its programs meet. Returns the path for SSH_AUTH_SOCK. */
  async offer(account: Account, open: AgentOpener): Promise<string> {
    const agent = this.#users.get(account.uid) ?? { account, openers: [], listening: undefined };
    this.#users.set(account.uid, agent);
    agent.openers.push(open);
    try {
      await this.#listen(agent);
    } catch (error) {
      this.withdraw(account, open);
      throw error;
    }
    return agentPath(account.uid);
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

  /** The workload goes, and its /run with the sockets: they are made again in the next one. */
  workloadGone(): void {
    for (const agent of this.#users.values()) {
      agent.listening = undefined;
      void this.#restore(agent);
    }
  }

  async #listen(agent: UserAgent): Promise<void> {
    const { account } = agent;
    const listening = (agent.listening ??= this.#guest.listenInRun(
      account,
      agentPath(account.uid),
      (stream) => void connect(stream, agent.openers, this.#openMs),
    ));
    try {
      await listening;
    } catch (error) {
      if (agent.listening === listening) agent.listening = undefined;
      throw error;
    }
  }

  async #restore(agent: UserAgent): Promise<void> {
    while (this.#users.get(agent.account.uid) === agent) {
      try {
        return await this.#listen(agent);
      } catch {
        await Bun.sleep(sshLimits.agentAgainMs);
      }
    }
  }
}

interface UserAgent {
  readonly account: Account;
  openers: AgentOpener[];
  listening: Promise<Listening> | undefined;
}

/** /run is root's in every image, and its own tmpfs in every workload. */
function agentPath(uid: number): string {
  return uid === 0 ? "/run/fly-vault/agent.sock" : `/run/fly-vault/agent-${uid}.sock`;
}

async function connect(
  stream: ByteStream,
  openers: readonly AgentOpener[],
  openMs: number,
): Promise<void> {
  const agent = await firstAgent(openers.toReversed(), openMs);
  if (agent === undefined) stream.abort(0);
  else await splice(stream, agent);
}

/** The next one is asked as well when one does not answer soon: its client may sleep, or come back in a moment. */
async function firstAgent(
  openers: readonly AgentOpener[],
  openMs: number,
): Promise<ByteStream | undefined> {
  const found = Promise.withResolvers<ByteStream>();
  let isFound = false;
  const ask = async (open: AgentOpener): Promise<void> => {
    const agent = await open();
    if (isFound) agent?.abort(0);
    else if (agent !== undefined) {
      isFound = true;
      found.resolve(agent);
    }
  };
  const asked: Promise<void>[] = [];
  for (const open of openers) {
    const opening = ask(open);
    asked.push(opening);
    await within(Promise.race([found.promise, opening]), openMs);
    if (isFound) break;
  }
  return Promise.race([found.promise, Promise.all(asked).then(() => undefined)]);
}
