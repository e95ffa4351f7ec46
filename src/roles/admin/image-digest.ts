import * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import { authorizationHeader } from "../../fly/api-authorization.ts";
import { readBounded } from "../../fly/bounded-body.ts";
import { rolloutLimits } from "./rollout-limits.ts";

/** An image's name, as Docker reads it. */
export interface ImageName {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

export interface RegistryOptions {
  readonly token: string;
  readonly urlOf?: (registry: string) => string;
  /** Of one answer. */
  readonly timeoutMs?: number;
}

/**
 * The image with its digest: as given if it has one, else what its registry says of the tag now, so
 * that all machines of a rollout get the same, whatever becomes of the tag meanwhile.
 */
export async function pinImage(text: string, options: RegistryOptions): Promise<string> {
  if (!/^[\w./:@-]{1,512}$/u.test(text)) throw badImage(text);
  if (/^[\w./:-]+@sha256:[0-9a-f]{64}$/u.test(text)) return text;
  const name = parseImageName(text);
  if (name === undefined) throw badImage(text);
  const digest = await askRegistry(name, options);
  return `${name.registry}/${name.repository}@${digest}`;
}

/** Undefined where it is none, or has a digest of another kind. */
export function parseImageName(text: string): ImageName | undefined {
  const slash = text.indexOf("/");
  const first = slash === -1 ? "" : text.slice(0, slash);
  const hasRegistry = /[.:]|^localhost$/u.test(first);
  const rest = hasRegistry ? text.slice(slash + 1) : text;
  const match = /^([a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*)(?::(\w[\w.-]{0,127}))?$/u.exec(rest);
  const [, path, tag = "latest"] = match ?? [];
  if (path === undefined) return undefined;
  if (hasRegistry) return { registry: first, repository: path, tag };
  return { registry: "docker.io", repository: path.includes("/") ? path : `library/${path}`, tag };
}

async function askRegistry(
  name: ImageName,
  { token, urlOf = registryUrl, timeoutMs = rolloutLimits.registryMs }: RegistryOptions,
): Promise<string> {
  const { registry, repository, tag } = name;
  const url = `${urlOf(registry)}/v2/${repository}/manifests/${tag}`;
  const own = registry === "registry.fly.io" ? registryAuthorization(token) : undefined;
  try {
    let answer = await askManifest(url, own, timeoutMs);
    if (answer.status === 401 && own === undefined)
      answer = await askManifest(
        url,
        await anonymousToken(answer, repository, timeoutMs),
        timeoutMs,
      );
    const digest = answer.headers.get("docker-content-digest") ?? "";
    if (answer.ok && /^sha256:[0-9a-f]{64}$/u.test(digest)) return digest;
    throw unresolved(name, `${registry} answers ${answer.status}`);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw unresolved(name, error instanceof Error ? error.message : String(error));
  }
}

/** Docker's way of saying a token: as a password, without the scheme that `fly tokens create` prints. */
function registryAuthorization(token: string): string {
  const bare = authorizationHeader(token).replace(/^\S+ /u, "");
  return `Basic ${btoa(`x:${bare}`)}`;
}

async function askManifest(
  url: string,
  authorization: string | undefined,
  timeoutMs: number,
): Promise<Response> {
  return fetch(url, {
    method: "HEAD",
    headers: { accept: manifestTypes, ...(authorization === undefined ? {} : { authorization }) },
    // The token must not follow to wherever an answer points.
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
}

/** Public images: the registry names who gives out tokens to everybody. */
async function anonymousToken(
  answer: Response,
  repository: string,
  timeoutMs: number,
): Promise<string | undefined> {
  const challenge = answer.headers.get("www-authenticate") ?? "";
  const realm = /realm="(https:[^"]+)"/u.exec(challenge)?.[1];
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  const service = /service="([^"]+)"/u.exec(challenge)?.[1];
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", `repository:${repository}:pull`);
  const response = await fetch(url, {
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
  const bytes = await readBounded(response, rolloutLimits.registryBytesMax);
  const body: unknown = JSON.parse(new TextDecoder().decode(bytes));
  return v.is(v.looseObject({ token: v.string() }), body) ? `Bearer ${body.token}` : undefined;
}

function registryUrl(registry: string): string {
  return `https://${registry === "docker.io" ? "registry-1.docker.io" : registry}`;
}

function badImage(text: string): Failure {
  return new Failure("FV-CLI-001", `--image "${text}" is no image`, {
    fix: "for example --image registry.fly.io/vault-tenants/init@sha256:…",
  });
}

function unresolved({ registry, repository, tag }: ImageName, because: string): Failure {
  return new Failure("FV-ADM-021", `${registry}/${repository}:${tag} has no digest we could find`, {
    because,
    fix: `pass it: --image ${registry}/${repository}@sha256:…`,
  });
}

const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
