import { ArchiveRecipe } from "../../../../protocol/archive-recipe.ts";
import type { PieceSet } from "../../../../protocol/piece-set.ts";
import { pieceId, pieceKey } from "../../../../system/archive/content-pieces.ts";
import { hasCode } from "../../../../system/filesystem.ts";
import { provisionLimits } from "../limits.ts";
import { GatherRefusal } from "./gather-refusal.ts";
import { OldTree } from "./old-tree.ts";
import { PiecePlaces } from "./piece-places.ts";
import { SentBytes } from "./sent-bytes.ts";
import { surveyTree, type SurveyOptions } from "./survey.ts";
import { TarOutput } from "./tar-output.ts";

export interface GatherOptions extends SurveyOptions {
  /** Undefined where there is no tree: then all is sent. */
  readonly rootFd: number | undefined;
  readonly recipeBytes: number;
  readonly inFd: number;
  readonly outFd: number;
  readonly onLacking: (lacking: PieceSet) => void;
}

/**
 * Puts a tar stream together: a recipe comes first, what it asks for is looked up in the old tree, and the
 * rest comes from the client. Each piece is checked, wherever it is from. Throws `GatherRefusal` and
 * `WireError`. Where nobody reads the stream any more it just ends: whoever read it says why.
 */
export function gather(options: GatherOptions): void {
  const sent = new SentBytes(options.inFd);
  const recipe = new ArchiveRecipe(sent.raw(options.recipeBytes));
  const limits = options.limits ?? provisionLimits;
  const places = new PiecePlaces(recipe, limits.surveyPathBytesMax);
  const { rootFd } = options;
  if (rootFd !== undefined) surveyTree(rootFd, places, options);
  options.onLacking(places.lacking());
  const tree = new OldTree(rootFd ?? -1);
  try {
    writeTar(recipe, { places, tree, sent }, new TarOutput(options.outFd));
    sent.finish();
  } catch (error) {
    if (!hasCode(error, "EPIPE")) throw error;
  } finally {
    tree.close();
  }
}

interface PieceSources {
  readonly places: PiecePlaces;
  readonly tree: OldTree;
  readonly sent: SentBytes;
}

function writeTar(recipe: ArchiveRecipe, { places, tree, sent }: PieceSources, out: TarOutput) {
  for (const { length, id } of recipe.items()) {
    const bytes = out.room(length);
    const place = id === undefined ? undefined : places.of(id);
    const isThere = place === undefined || tree.read(place, bytes);
    if (place === undefined) sent.take(bytes);
    if (id === undefined || (isThere && pieceKey(pieceId(bytes)) === pieceKey(id))) continue;
    throw place === undefined ? wrongPiece() : changed();
  }
  out.flush();
}

function wrongPiece(): GatherRefusal {
  const message = "A part of the archive is not the one that was announced";
  return new GatherRefusal("digest-mismatch", message);
}

function changed(): GatherRefusal {
  const message = "A file of the running root filesystem changed while it was read";
  return new GatherRefusal("pieces-changed", message);
}
