import type { Connection, ServerChannel } from "ssh2";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { splice } from "../../../system/splice.ts";
import { connectTcp, type Listening, listenTcp } from "../../../system/tcp-stream.ts";
import { within } from "../../../system/within.ts";
import type { Account } from "../account.ts";
import { initLimits } from "../limits.ts";
import { ChannelStream } from "./channel-stream.ts";
import { channelCount } from "./ssh2-inside.ts";
import type { GuestView } from "./guest-view.ts";
import { sshLimits } from "./limits.ts";
import type { SshTransport } from "./ssh-transport.ts";

/** Forwarded connections of one SSH connection, and what it listens on here. */
export class SshForwards {
  readonly #client: Connection;
  readonly #transport: SshTransport;
  readonly #guest: GuestView;
  readonly #account: Account;
  readonly #listeners = new Map<string, readonly Listening[]>();
  /** Asked for, and not there yet. */
  #pending = 0;
  #isClosed = false;

  constructor(options: {
    readonly client: Connection;
    readonly transport: SshTransport;
    readonly guest: GuestView;
    readonly account: Account;
  }) {
    this.#client = options.client;
    this.#transport = options.transport;
    this.#guest = options.guest;
    this.#account = options.account;
  }

  /** `direct-tcpip`: the guest has the machine's network. Rejects when the target does not answer. */
  async toPort(host: string, port: number, accept: () => ServerChannel): Promise<void> {
    const target = await connectTcp({ host, port }, initLimits.forwardConnectMs);
    await this.#join(accept, target);
  }

  /** `direct-streamlocal`. */
  async toSocket(path: string, accept: () => ServerChannel): Promise<void> {
    await this.#join(accept, await this.#guest.connect(this.#account, path));
  }

  /** `tcpip-forward`: on loopback alone, whatever was asked for, as sshd does by default. Returns the port. */
  listenOnPort(host: string, port: number): number {
    if (port !== 0 && port < unprivilegedPortMin && this.#account.uid !== 0)
      throw new RangeError("That port is for root");
    this.#checkCount();
    const onConnection = (stream: ByteStream, remote: { readonly host: string }): void =>
      this.#openBack(stream, (opened) => {
        this.#client.forwardOut(host, chosen, remote.host, 0, opened);
      });
    const options = { connectionsMax: sshLimits.channelsMax, onConnection };
    const listeners: Listening[] = [];
    const families = host === "127.0.0.1" || host === "::1" ? [host] : ["127.0.0.1", "::1"];
    let chosen = port;
    for (const [index, address] of families.entries()) {
      try {
        const listening = listenTcp({ host: address, port: chosen }, options);
        listeners.push(listening);
        chosen = listening.port;
      } catch (error) {
        // A machine without IPv6 has no second loopback.
        if (index === 0) throw error;
      }
    }
    this.#listeners.set(portKey(host, chosen), listeners);
    return chosen;
  }

  /** False when there is no such listener. */
  closePort(host: string, port: number): boolean {
    return this.#close(portKey(host, port));
  }

  /** `streamlocal-forward`: as the user, and never in the place of something that is there. */
  async listenOnSocket(path: string): Promise<void> {
    this.#checkCount();
    this.#pending += 1;
    try {
      const listening = await this.#guest.listen(this.#account, path, (stream) =>
        this.#openBack(stream, (opened) => {
          this.#client.openssh_forwardOutStreamLocal(path, opened);
        }),
      );
      // The connection may be over by now.
      if (this.#isClosed) listening.close();
      else this.#listeners.set(path, [listening]);
    } finally {
      this.#pending -= 1;
    }
  }

  closeSocket(path: string): boolean {
    return this.#close(path);
  }

  closeAll(): void {
    this.#isClosed = true;
    for (const key of this.#listeners.keys()) this.#close(key);
  }

  #close(key: string): boolean {
    const listeners = this.#listeners.get(key);
    for (const listening of listeners ?? []) listening.close();
    return this.#listeners.delete(key);
  }

  #checkCount(): void {
    if (this.#listeners.size + this.#pending >= sshLimits.listenersMax)
      throw new RangeError("Too many listeners");
  }

  async #join(accept: () => ServerChannel, target: ByteStream): Promise<void> {
    const channel = accept();
    await joinChannel(new ChannelStream(channel, this.#transport), target);
  }

  /** Anybody in the guest may connect: not more of them than a client may open by itself. */
  #openBack(stream: ByteStream, open: (opened: ChannelOpened) => void): void {
    if (channelCount(this.#client) >= sshLimits.channelsMax) {
      stream.abort(0);
      return;
    }
    open((error, channel) => {
      if (error !== undefined) stream.abort(0);
      else void joinChannel(new ChannelStream(channel, this.#transport), stream);
    });
  }
}

type ChannelOpened = (error: Error | undefined, channel: ServerChannel) => void;

/** Until both directions have ended, or the client has closed the channel. Never rejects with a `StreamError`. */
export async function joinChannel(channel: ChannelStream, target: ByteStream): Promise<void> {
  const spliced = splice(channel, target);
  void giveUpAfter(channel, spliced, target);
  await spliced;
  await channel.close();
}

async function giveUpAfter(
  channel: ChannelStream,
  spliced: Promise<unknown>,
  target: ByteStream,
): Promise<void> {
  await channel.closed;
  await within(spliced, sshLimits.closingMs);
  target.abort(0);
}

const unprivilegedPortMin = 1024;

function portKey(host: string, port: number): string {
  return `${host}:${port}`;
}
