import { lchownSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import { workloadReplySchema } from "../../../protocol/ssh-message.ts";
import { asUser } from "../../../system/process-credentials.ts";
import { Namespaces } from "../../../system/process-namespace.ts";
import { connectUnix, type Listening, type ListenOptions } from "../../../system/tcp-stream.ts";
import { type Account, findAccount } from "../account.ts";
import { askKeeper } from "../ask-keeper.ts";
import { listenGuestSocket } from "../guest-socket.ts";
import { initLimits } from "../limits.ts";
import { sshLimits } from "./limits.ts";

/**
 * The guest as this process sees it: its accounts, and Unix sockets, which are names in its file
 * system. Names are only ever looked up inside: out here a link in there would lead anywhere.
 */
export class GuestView {
  readonly #keeperSocket: string;
  readonly #listening = new Set<GuestListening>();
  #entered: { readonly pid: number; readonly namespaces: Namespaces } | undefined;

  constructor(keeperSocket: string) {
    this.#keeperSocket = keeperSocket;
  }

  /** Rejects with `RemoteError` "not-ready" while nothing runs, else as `findAccount` does. */
  async account(user: string): Promise<Account> {
    const namespaces = await this.#enter();
    return namespaces.inside(() => findAccount(user));
  }

  /** Rejects with `SocketError`. */
  async connect(account: Account, path: string): Promise<ByteStream> {
    const namespaces = await this.#enter();
    // The name is looked up before the call comes back with its promise.
    const connecting = namespaces.inside(() =>
      actAs(account, () => connectUnix(path, initLimits.forwardConnectMs)),
    );
    return connecting;
  }

  /** For the user alone. Rejects with `RemoteError`; never takes the place of anything that is there. */
  async listen(
    account: Account,
    path: string,
    onConnection: (stream: ByteStream) => void,
  ): Promise<Listening> {
    const namespaces = await this.#enter();
    // Found in the guest's root as its user finds it, and used by descriptor.
    const listening = actAs(account, () =>
      listenGuestSocket(namespaces.rootFolder, path, optionsFor(onConnection)),
    );
    return this.#keep(listening, account);
  }

  /** The same in a folder of root's, for a name that nobody but root can take; what is there goes. */
  async listenInRun(
    account: Account,
    path: string,
    onConnection: (stream: ByteStream) => void,
  ): Promise<Listening> {
    const namespaces = await this.#enter();
    namespaces.inside(() => {
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
    });
    const options = optionsFor(onConnection);
    const listening = listenGuestSocket(namespaces.rootFolder, path, options);
    namespaces.inside(() => lchownSync(path, account.uid, account.gid));
    return this.#keep(listening, { ...account, uid: 0, gid: 0, groups: [0] });
  }

  /** The workload is going: nothing of ours may hold on to its file system. */
  forget(): void {
    for (const listening of this.#listening) listening.close();
    this.#entered?.namespaces.close();
    this.#entered = undefined;
  }

  #keep(listening: Listening, account: Account): Listening {
    const kept: GuestListening = {
      port: 0,
      close: () => {
        if (!this.#listening.delete(kept)) return;
        actAs(account, () => listening.close());
      },
    };
    this.#listening.add(kept);
    return kept;
  }

  /** Of the workload as it is now: it may have been replaced since the last time. */
  async #enter(): Promise<Namespaces> {
    const pid = await this.#workloadPid();
    if (this.#entered?.pid === pid) return this.#entered.namespaces;
    this.forget();
    const namespaces = new Namespaces(pid);
    this.#entered = { pid, namespaces };
    return namespaces;
  }

  async #workloadPid(): Promise<number> {
    const { pid } = await askKeeper(this.#keeperSocket, { type: "workload" }, workloadReplySchema);
    if (pid === null)
      throw new RemoteError("not-ready", "Nothing runs on the machine yet, or not any more");
    return pid;
  }
}

type GuestListening = Listening;

function actAs<Result>(account: Account, body: () => Result): Result {
  return account.uid === 0 && account.gid === 0 ? body() : asUser(account, body);
}

function optionsFor(onConnection: (stream: ByteStream) => void): ListenOptions {
  return { connectionsMax: sshLimits.channelsMax, onConnection };
}
