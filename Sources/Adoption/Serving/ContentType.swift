/// The media type that a file's name tells.
package enum ContentType {
    private static let types: [Substring: String] = [
        "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8", "json": "application/json",
        "xml": "application/xml", "txt": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8",
        "csv": "text/csv; charset=utf-8", "svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg",
        "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif", "ico": "image/x-icon",
        "mp4": "video/mp4", "webm": "video/webm", "mkv": "video/x-matroska", "mpd": "application/dash+xml",
        "m3u8": "application/vnd.apple.mpegurl", "ts": "video/mp2t", "m4s": "video/iso.segment", "mp3": "audio/mpeg",
        "m4a": "audio/mp4", "ogg": "audio/ogg", "wav": "audio/wav", "flac": "audio/flac", "woff": "font/woff",
        "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "pdf": "application/pdf", "zip": "application/zip",
        "gz": "application/gzip", "xz": "application/x-xz", "zst": "application/zstd", "tar": "application/x-tar",
        "wasm": "application/wasm", "deb": "application/vnd.debian.binary-package",
    ]

    package static func of(_ file: String) -> String {
        guard let dot = file.lastIndex(of: "."), file[dot...].firstIndex(of: "/") == nil else {
            return "application/octet-stream"
        }
        return types[Substring(file[file.index(after: dot)...].lowercased())] ?? "application/octet-stream"
    }
}
