#pragma once
namespace haechi::blob {
class BlobStore;
class ByteSource;
class File;
class FileSystem;
class LocalBlobStore;
class Media;
class Thumbnailer;
struct MediaId;
struct Opened;
struct Record;
}  // namespace haechi::blob
