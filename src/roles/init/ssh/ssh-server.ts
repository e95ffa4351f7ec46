import ssh2, { type AuthContext, type Connection } from "ssh2";
import { RemoteError } from "../../../protocol/errors.ts";
import type { Log } from "../../../system/log.ts";
import type { AgentOpener, AgentSockets } from "./agent-sockets.ts";
import { ChannelStream } from "./channel-stream.ts";
import type { GuestView } from "./guest-view.ts";
import { sshLimits } from "./limits.ts";
import { SshForwards } from "./ssh-forwards.ts";
import { SshSession } from "./ssh-session.ts";
import type { SshTransport } from "./ssh-transport.ts";
import { channelCount, openAgentChannel, transportOf } from "./ssh2-inside.ts";
import { readTerminalModes } from "./ssh2-terminal-modes.ts";
import type { Account } from "../account.ts";

export interface SshServerOptions {
  /** The machine's host key, in OpenSSH's format. */
  readonly privateKey: string;
  readonly keeperSocket: string;
  readonly guest: GuestView;
  readonly agents: AgentSockets;
  readonly log: Log;
  /** Instead of what is usual. */
  readonly loginMs?: number;
}

/**
 * SSH for those who have logged in to the machine already: no more is asked of them here than which
 * user they want to be.
 */
export class SshServer {
  readonly #options: SshServerOptions;
  readonly #server: ssh2.Server;

  constructor(options: SshServerOptions) {
    this.#options = options;
    // A client that sleeps for hours is no dead one: whether its link stands is not SSH's to find out.
    (ssh2.Server as unknown as { KEEPALIVE_CLIENT_INTERVAL: number }).KEEPALIVE_CLIENT_INTERVAL = 0;
    readTerminalModes();
    this.#server = new ssh2.Server(
      { hostKeys: [options.privateKey], ident: "fly-vault" },
      (client) => this.#serve(client, transportOf(client) as SshTransport),
    );
  }

  /** Speaks SSH over it until one of both ends it. */
  serve(transport: SshTransport): void {
    const { loginMs = sshLimits.loginMs } = this.#options;
    const timer = setTimeout(() => transport.destroy(), loginMs);
    transport.once("close", () => clearTimeout(timer));
    transport.once("let-in", () => clearTimeout(timer));
    this.#server.injectSocket(transport as never);
  }

  #serve(client: Connection, transport: SshTransport): void {
    const { log } = this.#options;
    client.on("error", (error) => log("info", "ssh-client", { because: error.message }));
    client.on("authentication", (context) => {
      void this.#letIn(context, (account) => {
        client.on("ready", () => {
          transport.emit("let-in");
          this.#serveUser(client, transport, account);
        });
      });
    });
  }

  /** Every method but `none` is turned down, so that no client asks anybody for a password. */
  async #letIn(context: AuthContext, welcome: (account: Account) => void): Promise<void> {
    if (context.method !== "none") {
      context.reject([]);
      return;
    }
    try {
      welcome(await this.#options.guest.account(context.username));
      context.accept();
    } catch (error) {
      const words = error instanceof RemoteError ? error.message : "the machine could not do this";
      // The one place where a client shows our words: "Permission denied (…)".
      context.reject([words.replaceAll(",", ";") as never]);
    }
  }

  #serveUser(client: Connection, transport: SshTransport, account: Account): void {
    const { guest, agents, keeperSocket, log } = this.#options;
    const forwards = new SshForwards({ client, transport, guest, account });
    const openAgent: AgentOpener = () =>
      new Promise((resolve) => {
        openAgentChannel(client, (channel) =>
          resolve(channel === undefined ? undefined : new ChannelStream(channel, transport)),
        );
      });
    let agent: Promise<string | undefined> | undefined;
    const forwardAgent = (): Promise<string | undefined> => {
      agent ??= agents.offer(account, openAgent).catch(() => undefined);
      return agent;
    };
    const parts = {
      client,
      transport,
      account,
      keeperSocket,
      log,
      agents,
      forwardAgent,
    };
    client.on("session", (accept, reject) => {
      if (isFull(client)) reject();
      else SshSession.listen(accept(), parts);
    });
    client.on("tcpip", (accept, reject, { destIP, destPort }) => {
      if (isFull(client)) reject();
      else forwards.toPort(destIP, destPort, accept).catch(reject);
    });
    client.on("openssh.streamlocal", (accept, reject, { socketPath }) => {
      if (isFull(client)) reject();
      else forwards.toSocket(socketPath, accept).catch(reject);
    });
    client.on("request", (accept, reject, name, info) => {
      void answerForward(forwards, name, info).then((answer) =>
        answer === undefined ? reject?.() : accept?.(answer),
      );
    });
    client.on("close", () => {
      forwards.closeAll();
      if (agent !== undefined) agents.withdraw(account, openAgent);
    });
  }
}

function isFull(client: Connection): boolean {
  return channelCount(client) > sshLimits.channelsMax;
}

/** The port, or 0 where there is none; undefined: refused. */
async function answerForward(
  forwards: SshForwards,
  name: string,
  info: object,
): Promise<number | undefined> {
  try {
    switch (name) {
      case "tcpip-forward": {
        const { bindAddr, bindPort } = info as ssh2.TcpipBindInfo;
        return forwards.listenOnPort(bindAddr, bindPort);
      }
      case "cancel-tcpip-forward": {
        const { bindAddr, bindPort } = info as ssh2.TcpipBindInfo;
        return forwards.closePort(bindAddr, bindPort) ? 0 : undefined;
      }
      case "streamlocal-forward@openssh.com":
        await forwards.listenOnSocket((info as ssh2.SocketBindInfo).socketPath);
        return 0;
      case "cancel-streamlocal-forward@openssh.com":
        return forwards.closeSocket((info as ssh2.SocketBindInfo).socketPath) ? 0 : undefined;
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}
