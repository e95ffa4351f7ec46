import type { ByteString } from "./byte-string.ts";
import type { TarLimits } from "./limits.ts";
import { TarRefusal } from "./refusal.ts";

/** Names at the top of a volume that are ours. */
const reservedNames: ReadonlySet<string> = new Set([".fly-vault", ".fv"]);

/**
 * A name as archives write it -> path below the root without a leading slash, "." or empty
 * components; "" is the root itself. ".." is refused wherever it stands, even where it would stay
 * inside: no tar writer makes it, and every reader that resolves it was wrong at least once.
 */
export function normalPath(name: ByteString, limits: TarLimits): ByteString {
  if (name.length > limits.pathBytesMax) {
    throw new TarRefusal("E_PATH_LONG", `Path of ${name.length} bytes`);
  }
  const components: ByteString[] = [];
  for (const component of name.split("/")) {
    if (component === "" || component === ".") continue;
    checkComponent(component, limits);
    components.push(component);
  }
  if (components.length > limits.depthMax) {
    throw new TarRefusal("E_PATH_DEPTH", `Path ${components.length} levels deep`);
  }
  if (reservedNames.has(components[0] ?? "")) {
    throw new TarRefusal("E_RESERVED", "The name is reserved for fly-vault");
  }
  return components.join("/");
}

function checkComponent(component: ByteString, limits: TarLimits): void {
  if (component === "..") throw new TarRefusal("E_PATH_DOTDOT", 'The path contains ".."');
  if (component.length > limits.componentBytesMax) {
    throw new TarRefusal("E_PATH_LONG", `Name of ${component.length} bytes`);
  }
  if (component.startsWith(".wh.")) {
    throw new TarRefusal("E_LAYER_TAR", "This is one layer of a container image, not a whole tree");
  }
}
