import Foundation
import InterCore

/// The control core's part of a golden test, in a notation like packetdrill's. Seconds, then who speaks:
///
///     // a comment
///     configure asymmetric            before the start
///     0.010  > held 40000             what the worker tells, and when; flows go by their client's port
///     0.015  < verdict 40000 proxy 0  what it is told: verdict … proxy N, verdict … origin, done …
///     0.060  .                        time goes on until then
struct GoldenScript {
    enum Line: Equatable {
        case tell(Command)
        /// A `WorkerEvent`, as `GoldenRun` writes it.
        case hear(String)
        case wait
    }

    enum Command: Equatable {
        case verdict(port: UInt16, proxy: ProxyIndex?)
        case done(port: UInt16)
    }

    struct Malformed: Error {
        let line: String
    }

    var isAsymmetric = false
    var lines: [(time: UInt64, line: Line)] = []

    init(path: String) throws {
        for text in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            if text.hasPrefix("//") { continue }
            let words = text.split(separator: " ").map(String.init)
            if words == ["configure", "asymmetric"] {
                isAsymmetric = true
                continue
            }
            guard words.count >= 2, let seconds = Double(words[0]) else { throw Malformed(line: String(text)) }
            let time = UInt64((seconds * 1_000_000).rounded())
            lines.append((time, try Self.line(Array(words.dropFirst()), of: String(text))))
        }
    }

    private static func line(_ words: [String], of text: String) throws -> Line {
        if words == ["."] { return .wait }
        if words[0] == ">" { return .hear(words.dropFirst().joined(separator: " ")) }
        guard words[0] == "<", words.count >= 3, let port = UInt16(words[2]) else { throw Malformed(line: text) }
        switch (words[1], words.dropFirst(3).first, words.dropFirst(4).first.flatMap { UInt8($0) }) {
        case ("verdict", "origin", nil): return .tell(.verdict(port: port, proxy: nil))
        case ("verdict", "proxy", let proxy?): return .tell(.verdict(port: port, proxy: ProxyIndex(proxy)))
        case ("done", nil, nil): return .tell(.done(port: port))
        default: throw Malformed(line: text)
        }
    }
}
