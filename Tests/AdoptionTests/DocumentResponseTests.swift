import Adoption
import Testing

@Suite struct IdempotenceTests {
    @Test func onlyWhatMayBeDoneTwiceIsToldTwice() {
        let repeatable = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
        #expect(repeatable.allSatisfy(PlainRequest.isIdempotent))
        #expect(!["POST", "PATCH", "CONNECT", "get", "M-SEARCH"].contains(where: PlainRequest.isIdempotent))
    }
}

@Suite struct DocumentResponseTests {
    private let facts = DocumentResponse.Facts(
        bytes: 1_000, modified: 784_111_777, entityTag: "\"abc\"", contentType: "text/plain")

    private func respond(_ edit: (inout DocumentResponse.Conditions) -> Void = { _ in }) -> DocumentResponse {
        var conditions = DocumentResponse.Conditions()
        edit(&conditions)
        return DocumentResponse(facts, conditions)
    }

    @Test func givesTheWholeFile() {
        let response = respond()
        #expect(response.status == 200)
        #expect(response.pieces == [.file(0..<1_000)])
        #expect(response.header("Content-Length") == "1000")
        #expect(response.header("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT")
    }

    @Test(arguments: [
        ("bytes=0-0", [0..<1]), ("bytes=0-499", [0..<500]), ("bytes=500-", [500..<1_000]), ("bytes=-1", [999..<1_000]),
        ("bytes=-2000", [0..<1_000]), ("bytes=999-5000", [999..<1_000]), ("BYTES=1-2", [1..<3]),
        ("bytes=0-0, 5-9", [0..<1, 5..<10]), ("bytes=0-0,2000-3000", [0..<1]),
        ("bytes=1-99999999999999999999", [1..<1_000]),
    ]) func givesRanges(text: String, ranges: [Range<Int>]) {
        #expect(ByteRanges(text, bytes: 1_000) == .satisfiable(ranges))
        let response = respond { $0.range = text }
        #expect(response.status == 206)
        let bytes = response.pieces.reduce(0) { sum, piece in
            switch piece {
            case .text(let text): sum + text.utf8.count
            case .file(let range): sum + range.count
            }
        }
        #expect(response.header("Content-Length") == "\(bytes)")
    }

    @Test(arguments: ["bytes=1000-", "bytes=5000-6000", "bytes=-0"]) func refusesRangesBeyondTheEnd(text: String) {
        let response = respond { $0.range = text }
        #expect(response.status == 416)
        #expect(response.header("Content-Range") == "bytes */1000")
        #expect(response.pieces.isEmpty)
    }

    @Test(arguments: [
        "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "lines=1-2", "bytes=1-2,", "bytes=+1-2",
        "bytes=0-999,0-999", "bytes=" + Array(repeating: "0-0", count: 17).joined(separator: ","),
    ]) func ignoresRangesThatMakeNoSense(text: String) {
        #expect(respond { $0.range = text }.status == 200)
    }

    @Test func keepsPreconditionsInTheirOrder() {
        let before = "Sun, 06 Nov 1994 08:49:36 GMT"
        let same = "Sun, 06 Nov 1994 08:49:37 GMT"
        #expect(respond { $0.ifNoneMatch = "\"x\", W/\"abc\"" }.status == 304)
        #expect(respond { $0.ifNoneMatch = "*" }.status == 304)
        #expect(respond { $0.ifNoneMatch = "\"x\"" }.status == 200)
        #expect(respond { $0.ifModifiedSince = same }.status == 304)
        #expect(respond { $0.ifModifiedSince = before }.status == 200)
        #expect(respond { $0.ifModifiedSince = "yesterday" }.status == 200)
        #expect(respond { ($0.ifNoneMatch, $0.ifModifiedSince) = ("\"x\"", same) }.status == 200)
        #expect(respond { $0.ifMatch = "\"abc\"" }.status == 200)
        #expect(respond { $0.ifMatch = "W/\"abc\"" }.status == 412)
        #expect(respond { $0.ifUnmodifiedSince = before }.status == 412)
        #expect(respond { ($0.ifMatch, $0.ifUnmodifiedSince) = ("*", before) }.status == 200)
        #expect(respond { ($0.range, $0.ifRange) = ("bytes=0-0", "\"abc\"") }.status == 206)
        #expect(respond { ($0.range, $0.ifRange) = ("bytes=0-0", "\"x\"") }.status == 200)
        #expect(respond { ($0.range, $0.ifRange) = ("bytes=0-0", same) }.status == 206)
        #expect(respond { ($0.range, $0.ifRange) = ("bytes=0-0", before) }.status == 200)
    }

    @Test func datesComeBack() {
        for seconds in [0, 784_111_777, 951_782_400, 4_102_444_800] {
            #expect(HTTPDate.seconds(HTTPDate.text(seconds)) == seconds)
        }
    }

    @Test func anEmptyFileHasNoRanges() {
        #expect(ByteRanges("bytes=0-", bytes: 0) == .unsatisfiable)
        let empty = DocumentResponse.Facts(bytes: 0, modified: 0, entityTag: "\"e\"", contentType: "a/b")
        #expect(DocumentResponse(empty, DocumentResponse.Conditions()).header("Content-Length") == "0")
    }
}
