/// What is answered for a file: status, headers and the pieces of the file, from the request's preconditions and
/// ranges (RFC 9110 sections 13 and 14). Pure.
package struct DocumentResponse: Equatable {
    /// A piece of the answer's body.
    package enum Piece: Equatable {
        case text(String)
        case file(Range<Int>)

        var bytes: Int {
            switch self {
            case .text(let text): text.utf8.count
            case .file(let range): range.count
            }
        }
    }

    package struct Facts: Equatable {
        package var bytes: Int
        package var modified: Int
        package var entityTag: String
        package var contentType: String
        package init(bytes: Int, modified: Int, entityTag: String, contentType: String) {
            self.bytes = bytes
            self.modified = modified
            self.entityTag = entityTag
            self.contentType = contentType
        }
    }

    /// The request's headers that matter, nil when absent.
    package struct Conditions: Equatable {
        package var ifMatch: String?
        package var ifNoneMatch: String?
        package var ifModifiedSince: String?
        package var ifUnmodifiedSince: String?
        package var ifRange: String?
        package var range: String?
        package init() {}
    }

    package var status: Int
    package var headers: [(name: String, value: String)]
    package var pieces: [Piece]

    package static func == (left: DocumentResponse, right: DocumentResponse) -> Bool {
        left.status == right.status && left.pieces == right.pieces
            && left.headers.elementsEqual(right.headers) { $0.name == $1.name && $0.value == $1.value }
    }

    package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// Ranges that a request may name; more are answered with the whole file, since they cost more than they save.
    static var rangeLimit: Int { 16 }
    static var boundary: String { "baton-7e5d1c94b8a2f306" }

    package init(_ facts: Facts, _ conditions: Conditions) {
        let validators = [("ETag", facts.entityTag), ("Last-Modified", HTTPDate.text(facts.modified))]
        switch DocumentResponse.precondition(facts, conditions) {
        case 304:
            self.init(304, validators, [])
            return
        case 412:
            self.init(412, [("Content-Length", "0")], [])
            return
        default: break
        }
        let whole = [("Accept-Ranges", "bytes")] + validators
        let wanted = conditions.range.flatMap { text in
            DocumentResponse.honoursRange(facts, conditions) ? ByteRanges(text, bytes: facts.bytes) : nil
        }
        switch wanted {
        case .satisfiable(let ranges) where ranges.count == 1:
            let range = ranges[0]
            self.init(
                206,
                whole + [
                    ("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(facts.bytes)"),
                    ("Content-Type", facts.contentType), ("Content-Length", "\(range.count)"),
                ], [.file(range)])
        case .satisfiable(let ranges):
            let pieces = DocumentResponse.multipart(ranges, facts)
            self.init(
                206,
                whole + [
                    ("Content-Type", "multipart/byteranges; boundary=\(DocumentResponse.boundary)"),
                    ("Content-Length", "\(pieces.reduce(0) { $0 + $1.bytes })"),
                ], pieces)
        case .unsatisfiable:
            self.init(416, [("Content-Range", "bytes */\(facts.bytes)"), ("Content-Length", "0")], [])
        case nil:
            self.init(
                200, whole + [("Content-Type", facts.contentType), ("Content-Length", "\(facts.bytes)")],
                facts.bytes > 0 ? [.file(0..<facts.bytes)] : [])
        }
    }

    private init(_ status: Int, _ headers: [(String, String)], _ pieces: [Piece]) {
        self.status = status
        self.headers = headers.map { (name: $0.0, value: $0.1) }
        self.pieces = pieces
    }

    /// RFC 9110 section 13.2.2, in its order; 200 when the method is to be performed.
    private static func precondition(_ facts: Facts, _ conditions: Conditions) -> Int {
        if let ifMatch = conditions.ifMatch {
            if !lists(ifMatch, facts.entityTag, weakly: false) { return 412 }
        } else if let since = conditions.ifUnmodifiedSince.flatMap(HTTPDate.seconds), facts.modified > since {
            return 412
        }
        if let ifNoneMatch = conditions.ifNoneMatch {
            return lists(ifNoneMatch, facts.entityTag, weakly: true) ? 304 : 200
        }
        if let since = conditions.ifModifiedSince.flatMap(HTTPDate.seconds), facts.modified <= since { return 304 }
        return 200
    }

    /// If-Range: a strong tag that is the file's, or exactly its date.
    private static func honoursRange(_ facts: Facts, _ conditions: Conditions) -> Bool {
        guard let ifRange = conditions.ifRange else { return true }
        if ifRange.hasPrefix("\"") { return ifRange == facts.entityTag }
        return HTTPDate.seconds(ifRange) == facts.modified
    }

    private static func lists(_ list: String, _ tag: String, weakly: Bool) -> Bool {
        if list == "*" { return true }
        return list.split(separator: ",").contains { entry in
            var text = entry.drop { $0 == " " || $0 == "\t" }
            while text.last == " " || text.last == "\t" { text = text.dropLast() }
            if text.hasPrefix("W/") {
                if !weakly { return false }
                text = text.dropFirst(2)
            }
            return text == tag
        }
    }

    private static func multipart(_ ranges: [Range<Int>], _ facts: Facts) -> [Piece] {
        var pieces: [Piece] = []
        for range in ranges {
            let place = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(facts.bytes)"
            pieces.append(
                .text("\r\n--\(boundary)\r\nContent-Type: \(facts.contentType)\r\nContent-Range: \(place)\r\n\r\n"))
            pieces.append(.file(range))
        }
        return pieces + [.text("\r\n--\(boundary)--\r\n")]
    }
}

/// A Range header, resolved for a file's length (RFC 9110 section 14.1.2).
package enum ByteRanges: Equatable {
    case satisfiable([Range<Int>])
    case unsatisfiable

    /// nil when the header is to be ignored: another unit, bad syntax, too many ranges, or ranges that overlap so
    /// much that they ask for more than the file.
    package init?(_ text: String, bytes: Int) {
        guard text.lowercased().hasPrefix("bytes=") else { return nil }
        let specs = text.dropFirst("bytes=".count).split(separator: ",", omittingEmptySubsequences: false)
        guard specs.count <= DocumentResponse.rangeLimit else { return nil }
        var ranges: [Range<Int>] = []
        for spec in specs {
            let trimmed = spec.filter { $0 != " " && $0 != "\t" }
            guard let dash = trimmed.firstIndex(of: "-") else { return nil }
            let (first, last) = (trimmed[..<dash], trimmed[trimmed.index(after: dash)...])
            guard first.allSatisfy(\.isASCIIDigit), last.allSatisfy(\.isASCIIDigit), !(first.isEmpty && last.isEmpty)
            else { return nil }
            if first.isEmpty {
                let count = min(Int(last) ?? .max, bytes)
                if count > 0 { ranges.append(bytes - count..<bytes) }
                continue
            }
            let start = Int(first) ?? .max
            let end = last.isEmpty ? .max : Int(last) ?? .max
            guard start <= end else { return nil }
            if start < bytes { ranges.append(start..<min(end, bytes - 1) + 1) }
        }
        if ranges.isEmpty {
            self = .unsatisfiable
        } else if ranges.count > 1, ranges.reduce(0, { $0 + $1.count }) > bytes {
            return nil
        } else {
            self = .satisfiable(ranges)
        }
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
