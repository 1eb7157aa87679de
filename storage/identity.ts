/** Which file a descriptor really is: what a path led to when it was opened may be another a moment later. */

/** Where the kernel tells of this process's descriptors; on Linux only. */
const DESCRIPTORS = "/proc/self/fd";

/** Whether two looks were at the same file. */
export function sameFile(a: Deno.FileInfo, b: Deno.FileInfo): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** Descriptors at which files were found: their numbers are given out again and again, the lowest first. */
const usual: string[] = [];
const MAX_USUAL = 16;

/**
 * Whether an open file lies at a true path, as the kernel knows it: no swap of folders or links can deceive it, since
 * the descriptor is bound to the file. `undefined` where the system does not tell. Looks at every descriptor of this
 * process, about 0.1 ms, unless it is one of the usual; the calls are synchronous, /proc never blocks.
 */
export function isOpenAt(info: Deno.FileInfo, path: string): boolean | undefined {
  const isIt = (descriptor: string): boolean => pathOf(descriptor, info, path) !== undefined;
  if (usual.some(isIt)) return true;
  const all = descriptors();
  const found = all?.find(isIt);
  if (found !== undefined) remember(found);
  return all && found !== undefined;
}

function remember(descriptor: string): void {
  if (usual.includes(descriptor)) return;
  if (usual.length === MAX_USUAL) usual.length = 0;
  usual.push(descriptor);
  usual.sort((a, b) => Number(a.slice(DESCRIPTORS.length + 1)) - Number(b.slice(DESCRIPTORS.length + 1)));
}

/** The true paths at which an open file lies, as the kernel knows them; none where the system does not tell. */
export function placesOf(info: Deno.FileInfo): string[] {
  return (descriptors() ?? []).flatMap((descriptor) => pathOf(descriptor, info) ?? []);
}

function descriptors(): string[] | undefined {
  try {
    return [...Deno.readDirSync(DESCRIPTORS)].map(({ name }) => `${DESCRIPTORS}/${name}`);
  } catch {
    return undefined;
  }
}

/** Where a descriptor's file lies, if it is the file that is looked for, and at the path if one is given. */
function pathOf(descriptor: string, info: Deno.FileInfo, wanted?: string): string | undefined {
  try {
    const path = Deno.readLinkSync(descriptor);
    if (wanted !== undefined && path !== wanted) return undefined;
    // The path before and after: the number may be another file's by now.
    const isSame = sameFile(Deno.statSync(descriptor), info) && Deno.readLinkSync(descriptor) === path;
    return isSame ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Where the system does not tell of descriptors, a path is looked at this often for the file that was opened. */
const LOOKS = 3;

/** Whether an open file lies at a true path, by the kernel's word or else by repeated looks. */
export async function liesAt(info: Deno.FileInfo, path: string): Promise<boolean> {
  const known = isOpenAt(info, path);
  if (known !== undefined) return known;
  for (let look = 0; look < LOOKS; look++) {
    if (await Deno.realPath(path) !== path || !sameFile(await Deno.lstat(path), info)) return false;
  }
  return true;
}
