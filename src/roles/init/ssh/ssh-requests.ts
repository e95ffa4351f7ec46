import { type FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson, type Request } from "../../../protocol/message.ts";
import type { Guest } from "../guest.ts";
import type { SshSupervisor } from "./ssh-supervisor.ts";

/** What the keeper is asked on behalf of SSH: by the link, and by the process that speaks it. */
export type SshSideRequest = Extract<Request, { type: "ssh" | "agent" | "sftp" | "workload" }>;

export function isSshSide(request: Request): request is SshSideRequest {
  return sshSide.has(request.type);
}

const sshSide: ReadonlySet<string> = new Set(["ssh", "agent", "sftp", "workload"]);

/** Serves the stream after the request, reply included. Rejects with `RemoteError`. */
export async function serveSshSide(
  frames: FrameStream,
  request: SshSideRequest,
  { guest, ssh }: { readonly guest: Guest; readonly ssh: SshSupervisor },
): Promise<void> {
  switch (request.type) {
    case "ssh":
    case "agent":
      // From the link, which takes the client there itself.
      await ssh.up();
      await frames.write(frameTypes.ok, encodeJson({}));
      return;
    case "workload":
      await guest.workload.settled();
      await frames.write(frameTypes.ok, encodeJson({ pid: guest.workload.pid }));
      return;
    case "sftp":
      await guest.workload.settled();
      await guest.processes.serve(frames, {
        program: "sftp",
        user: request.user ?? "root",
      });
  }
}
