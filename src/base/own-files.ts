/**
 * Where the files of this package are: two folders above this one, as it stands (src/base) and as it is published
 * (dist/chunks, which the build makes sure of). Nothing else may go by its own place.
 */
import { fileURLToPath } from "node:url";

/** @param path below the folder of the package; none is that folder, with a slash at its end */
export function ownFile(path = ""): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
