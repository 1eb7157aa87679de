/** What kind of file system a folder lies on, as far as this machine tells. */
import { statfs } from "node:fs";
import { promisify } from "node:util";

/** One kind of file system. */
export interface MountType {
  name: string;
  /** Whether its files are on this machine. */
  isLocal: boolean;
}

const local = (name: string): MountType => ({ name, isLocal: true });
const remote = (name: string): MountType => ({ name, isLocal: false });

/** By `f_type` of statfs(2), from linux/magic.h and the file systems' own sources. */
const TYPES: ReadonlyMap<number, MountType> = new Map([
  [0xef53, local("ext4")],
  [0x58465342, local("xfs")],
  [0x9123683e, local("btrfs")],
  [0x01021994, local("tmpfs")],
  [0x2fc12fc1, local("zfs")],
  [0xf2f52010, local("f2fs")],
  [0x794c7630, local("overlay")],
  [0xca451a4e, local("bcachefs")],
  [0x6969, remote("nfs")],
  [0xff534d42, remote("cifs")],
  [0xfe534d42, remote("smb")],
  [0x65735546, remote("fuse")],
  [0x01021997, remote("9p")],
  [0x00c36400, remote("ceph")],
  [0x0bd00bd0, remote("lustre")],
  [0x47504653, remote("gpfs")],
  [0x19830326, remote("beegfs")],
  [0x5346414f, remote("afs")],
]);

/** Undefined for what is not known, and on other systems than Linux. Throws Node's file errors; may hang. */
export async function mountType(folder: string): Promise<MountType | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const { type } = await promisify(statfs)(folder);
  // Some kernels and runtimes hand out the 32 bits signed.
  return TYPES.get(type >>> 0);
}
