import { StreamError } from "../../../protocol/byte-stream.ts";
import { ConnectionClosed } from "../../../quic/connection.ts";
import type { AttestedLink, LinkConnection } from "./attested-link.ts";

/** Does something that goes on where it stood when the link is lost: `attempt` is made again over each new connection. */
export async function overLink<Result>(
  link: AttestedLink,
  attempt: (connection: LinkConnection) => Promise<Result>,
): Promise<Result> {
  let failures = 0;
  for (;;) {
    const connection = await link.connection();
    try {
      return await attempt(connection);
    } catch (error) {
      if (!isLinkLoss(error)) throw error;
      // The stream alone failed: something there is restarting. Do not hurry it.
      if (!link.isCurrent(connection)) {
        failures = 0;
        continue;
      }
      await link.pause(failures);
      failures += 1;
    }
  }
}

/** Whether the way failed, and not what was asked for. */
export function isLinkLoss(error: unknown): boolean {
  return error instanceof StreamError || error instanceof ConnectionClosed;
}
