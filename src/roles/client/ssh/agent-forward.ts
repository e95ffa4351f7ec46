import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { AgentMux } from "../../../protocol/agent-mux.ts";
import { type ByteStream, StreamError } from "../../../protocol/byte-stream.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import { agentReplySchema } from "../../../protocol/ssh-message.ts";
import { connectUnix } from "../../../system/tcp-stream.ts";
import { guardAgent } from "./agent-guard.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink, LinkConnection } from "../link/attested-link.ts";
import { overLink } from "../link/over-link.ts";

/**
 * Offers the agent of this computer to one user of the vault for as long as the link stands, over all
 * its connections. Resolves with what programs there need in their environment.
 */
export async function offerAgent(
  link: AttestedLink,
  user: string | undefined,
  { env }: Pick<Context, "env">,
): Promise<{ readonly SSH_AUTH_SOCK: string }> {
  const local = env["SSH_AUTH_SOCK"];
  if (local === undefined || local === "")
    throw new Failure("FV-SYS-002", "there is no ssh-agent to forward", {
      because: "SSH_AUTH_SOCK is not set here",
      fix: "start one:  eval $(ssh-agent) && ssh-add",
    });
  const offered = Promise.withResolvers<string>();
  const attempt = async (connection: LinkConnection): Promise<never> => {
    const frames = new FrameStream(await connection.openStream());
    const wish = { type: "agent", ...(user === undefined ? {} : { user }) } as const;
    try {
      const { path } = await answer(request(frames, wish, agentReplySchema));
      offered.resolve(path);
      await new AgentMux(frames, (asked) => void join(asked, local)).run();
    } catch (error) {
      frames.stream.abort(0);
      throw error;
    }
    throw new StreamError("connection-lost", "The agent's stream ended");
  };
  // Ends with the link: whoever needs that notices by themselves.
  overLink(link, attempt).catch((error: unknown) => offered.reject(error));
  return { SSH_AUTH_SOCK: await offered.promise };
}

async function join(asked: ByteStream, socket: string): Promise<void> {
  let agent: ByteStream | undefined;
  try {
    agent = await connectUnix(socket);
    await guardAgent(asked, agent);
  } catch {
    // The agent has ended, or the program talks nonsense: to it the agent is one that hangs up.
    asked.abort(0);
    agent?.abort(0);
  }
}
