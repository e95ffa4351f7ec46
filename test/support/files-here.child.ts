import { BlockingFrames } from "../../src/roles/init/files/blocking-frames.ts";
import { serveCopy } from "../../src/roles/init/files/files-server.ts";
import { ClientStream } from "../../src/roles/init/client-stream.ts";
import { makeBlocking } from "../../src/system/process.ts";

for (const fd of [0, 1]) makeBlocking(fd);
const early = new Uint8Array(0);
const stream = new ClientStream({ early, inFd: 0, outFd: 1, onFirstWord: () => undefined });
serveCopy(new BlockingFrames(stream), { home: process.argv[2] ?? "/", user: "root" });
