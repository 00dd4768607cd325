#pragma once
namespace haechi::blob {
class BlobStore;
class ByteSource;
class DiskCache;
class File;
class FileSystem;
class LocalBlobStore;
class Keeper;
class Media;
class SharedBlobStore;
class Spool;
class Thumbnailer;
struct MediaId;
struct Opened;
struct Record;
}  // namespace haechi::blob
