/** Places in files, as the doctor writes them. */

/** `file:line` taken apart. */
export function placeOf(place: string): { readonly file: string; readonly line: number } {
  const colon = place.lastIndexOf(":");
  return { file: place.slice(0, colon), line: Number(place.slice(colon + 1)) };
}
