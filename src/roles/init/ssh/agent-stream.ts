import { AgentMux } from "../../../protocol/agent-mux.ts";
import { type FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import { type AgentRequest } from "../../../protocol/ssh-message.ts";
import type { AgentOpener, AgentSockets } from "./agent-sockets.ts";
import type { GuestView } from "./guest-view.ts";

/** One stream of a client that offers its agent, from the reply to its end. Rejects with `RemoteError`. */
export async function serveAgent(
  frames: FrameStream,
  { user }: AgentRequest,
  { guest, agents }: { readonly guest: GuestView; readonly agents: AgentSockets },
): Promise<void> {
  const account = await guest.account(user ?? "root");
  const mux = new AgentMux(frames);
  const open: AgentOpener = async () => mux.open();
  const path = await agents.offer(account, open);
  try {
    await frames.write(frameTypes.ok, encodeJson({ path }));
    await mux.run();
  } finally {
    agents.withdraw(account, open);
  }
}
