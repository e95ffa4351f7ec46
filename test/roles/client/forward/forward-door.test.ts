import { expect, test } from "bun:test";
import { ForwardDoor } from "../../../../src/roles/client/forward/forward-door.ts";
import type { AttestedLink } from "../../../../src/roles/client/link/attested-link.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { StreamError } from "../../../../src/protocol/byte-stream.ts";
import { rejection } from "../../../support/rejection.ts";

const wish = { type: "forward", host: "db", port: 5432 } as const;

test("a connection is held for so long while there is no link, and let go in words", async () => {
  const door = new ForwardDoor("my-dev", 150);
  const startedMs = performance.now();
  const error = await rejection(door.open(wish));
  expect(error).toMatchObject({ code: "FV-NET-003", message: 'the link to "my-dev" is down' });
  expect(performance.now() - startedMs).toBeWithin(140, clientLimits.forwardWaitMs);
});

test("a link that is lost again and again is asked until that time is over", async () => {
  let attempts = 0;
  const link = {
    connection: async () => ({
      openStream: async () => {
        attempts += 1;
        throw new StreamError("connection-lost", "lost");
      },
    }),
    isCurrent: () => true,
    // The first few at once: a busy computer may have no time for more.
    pause: async () => Bun.sleep(attempts < 3 ? 0 : 50),
  } as unknown as AttestedLink;
  const door = new ForwardDoor("my-dev", 500);
  door.use(link);
  expect(await rejection(door.open(wish))).toMatchObject({ kind: "connection-lost" });
  expect(attempts).toBeWithin(3, 30);
});
