import { open } from "node:fs/promises";
import * as v from "valibot";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { expandPath } from "../../cli/paths.ts";
import { Progress } from "../../cli/progress.ts";
import { formatSize } from "../../cli/size.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { FrameStream, frameTypes } from "../../protocol/frame.ts";
import { limits } from "../../protocol/limits.ts";
import {
  decodeError,
  decodeJson,
  type Progress as RemoteProgress,
  progressSchema,
  type Provisioned,
  provisionedSchema,
  type ProvisionRequest,
  request,
} from "../../protocol/message.ts";
import { WireError } from "../../protocol/errors.ts";
import type { Connection } from "../../quic/connection.ts";
import { answer } from "./answer.ts";
import { progressLine, type Sent } from "./provision-line.ts";
import { asFailure } from "./remote-failure.ts";
import type { VaultConfig } from "./vault-config.ts";

export type RootfsSource =
  | { readonly kind: "file"; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: "url"; readonly url: string };

/** Where the vault's root filesystem comes from; looked at only when one is needed. */
export async function rootfsSource(
  config: VaultConfig,
  purpose: "a cold boot" | "--reprovision",
  env: Context["env"],
): Promise<RootfsSource> {
  const { rootfs, rootfs_url: url } = config;
  if (rootfs !== undefined && url !== undefined)
    throw new Failure("FV-CFG-004", `"${config.name}" has both rootfs and rootfs_url`, {
      because: config.path,
      fix: "keep one of them",
    });
  if (url !== undefined) return { kind: "url", url };
  const reprovision = purpose === "--reprovision";
  if (rootfs === undefined)
    throw new Failure(
      reprovision ? "FV-CFG-006" : "FV-VM-001",
      `"${config.name}" needs a root filesystem for ${purpose}`,
      {
        because: `${config.path} has neither rootfs nor rootfs_url for it`,
        fix: `add  rootfs = "~/rootfs.tar.gz"  to [vault.${config.name}]`,
      },
    );
  const path = expandPath(rootfs, env, config.folder);
  const sizeBytes = await fileSize(path);
  return { kind: "file", path, sizeBytes };
}

/** Sends the archive, or its address, and waits until the machine runs it. Rejects with `Failure`. */
export async function provision(
  connection: Connection,
  config: VaultConfig,
  source: RootfsSource,
  progress: Progress,
): Promise<Provisioned> {
  const frames = new FrameStream(await connection.openStream());
  try {
    const done = await exchange(frames, provisionRequest(config, source), source, progress);
    await progress.finish(
      `"${config.name}" has its root filesystem: ${done.entries} entries, ${formatSize(done.written_bytes)}, sha256 ${done.sha256}`,
    );
    return done;
  } catch (error) {
    await progress.abandon();
    frames.stream.abort(0);
    throw asFailure(error, config.name);
  }
}

function provisionRequest(config: VaultConfig, source: RootfsSource): ProvisionRequest {
  const { rootfs_sha256: sha256 } = config;
  return {
    type: "provision",
    source:
      source.kind === "url"
        ? { kind: "url", url: source.url }
        : { kind: "upload", size_bytes: source.sizeBytes },
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

async function exchange(
  frames: FrameStream,
  message: ProvisionRequest,
  source: RootfsSource,
  progress: Progress,
): Promise<Provisioned> {
  await answer(request(frames, message, v.object({})));
  const sent: Sent = { bytes: 0, sizeBytes: source.kind === "file" ? source.sizeBytes : 0 };
  const state = { over: false, remote: undefined as RemoteProgress | undefined };
  const draw = (): void => {
    progress.update(() => progressLine(source.kind, sent, state.remote, progress.elapsedMs));
  };
  // The machine may refuse while we still send: its answer is what counts.
  const uploading =
    source.kind === "file"
      ? upload(frames, source.path, { sent, state, draw }).catch((error: unknown) => error)
      : Promise.resolve(undefined);
  const reading = readResult(frames, (remote) => {
    state.remote = remote;
    draw();
  }).finally(() => {
    state.over = true;
  });
  const failed = uploading.then((error) => {
    // A file that cannot be read any more is our own trouble; a stream that broke is told by the answer.
    if (error === undefined || error instanceof StreamError) return reading;
    throw unreadable(source.kind === "file" ? source.path : "", error);
  });
  return Promise.race([reading, failed]);
}

async function readResult(
  frames: FrameStream,
  onProgress: (remote: RemoteProgress) => void,
): Promise<Provisioned> {
  for (;;) {
    const frame = await frames.read();
    if (frame === null) throw new WireError("The stream ended before the result");
    switch (frame.type) {
      case frameTypes.progress:
        onProgress(decodeJson(progressSchema, frame.payload, "Progress"));
        break;
      case frameTypes.done:
        return decodeJson(provisionedSchema, frame.payload, "Result");
      case frameTypes.error:
        throw decodeError(frame.payload);
      default:
        throw new WireError(`Frame 0x${frame.type.toString(16)} where progress was due`);
    }
  }
}

interface Upload {
  readonly sent: Sent;
  readonly state: { readonly over: boolean };
  readonly draw: () => void;
}

async function upload(frames: FrameStream, path: string, run: Upload): Promise<void> {
  const file = await open(path).catch((error: unknown) => Promise.reject(unreadable(path, error)));
  try {
    while (!run.state.over) {
      // A new one each time: the stream may still hold the one before.
      const buffer = new Uint8Array(limits.dataBytesMax);
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      await frames.write(frameTypes.data, buffer.subarray(0, bytesRead));
      run.sent.bytes += bytesRead;
      run.draw();
    }
    await frames.write(frameTypes.dataEnd, new Uint8Array(0));
  } finally {
    await file.close();
  }
}

async function fileSize(path: string): Promise<number> {
  try {
    const file = await open(path);
    try {
      const stat = await file.stat();
      if (!stat.isFile())
        throw new Failure("FV-PROV-001", `"${path}" is not a file`, {
          fix: "pack it first:  fly-vault build --from dir:PATH --output rootfs.tar.gz",
        });
      if (stat.size === 0) throw new Failure("FV-PROV-001", `"${path}" is empty`);
      return stat.size;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error) || error instanceof Failure) return error;
  const missing = error.code === "ENOENT" || error.code === "ENOTDIR";
  return new Failure(
    "FV-PROV-001",
    missing ? `there is no rootfs file "${path}"` : `the rootfs file "${path}" cannot be read`,
    {
      because: String(error.code),
      fix: "set rootfs to a tar, tar.gz or tar.zst file, or make one:  fly-vault build --help",
    },
  );
}
