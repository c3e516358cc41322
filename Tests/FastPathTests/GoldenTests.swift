import Foundation
import InterCore
import Testing

/// Captures in, captures out: what the director makes of whole connections, compared byte for byte, times included.
///
///     Golden/<case>/client-in.pcap    what comes in by the client's port       written by Golden/generate.py
///     Golden/<case>/server-in.pcap    what comes in by the servers' port       written by Golden/generate.py
///     Golden/<case>/script.txt        what the control core says, and hears    written by hand
///     Golden/<case>/client-out.pcap   what leaves towards the client           written here
///     Golden/<case>/server-out.pcap   what leaves towards the servers          written here
///
/// `BATON_GOLDEN=write swift test -c release --filter goldenCase` writes the last two anew; read the difference before
/// you keep it: `tcpdump -nnvvSe -r FILE`. The outputs that are kept were looked at once with
/// `tshark -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -r FILE`: every checksum in them is right.
enum GoldenCase: String, CaseIterable {
    case transferIPv4 = "transfer-ipv4"
    case transferIPv6 = "transfer-ipv6"
    case transferTagged = "transfer-tagged"
    case nack
    case lateVerdict = "late-verdict"
    case mutedOptions = "muted-options"
    case lateOrigin = "late-origin"
    case passThrough = "pass-through"

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Golden"
    static let isWriting = ProcessInfo.processInfo.environment["BATON_GOLDEN"] == "write"

    func path(_ file: String) -> String { "\(Self.folder)/\(rawValue)/\(file)" }
}

extension WorkerTests {
    @Test(arguments: GoldenCase.allCases)
    func goldenCase(_ golden: GoldenCase) throws {
        let fromClients = try CaptureFile(path: golden.path("client-in.pcap"))
        let fromServers = try CaptureFile(path: golden.path("server-in.pcap"))
        let script = try GoldenScript(path: golden.path("script.txt"))
        let lab = Lab { $0.candidates[0].isAsymmetric = script.isAsymmetric }
        let run = GoldenRun(lab)
        run.play(fromClients: fromClients, fromServers: fromServers, script: script)

        let expected = script.lines.compactMap { time, line in
            if case .hear(let event) = line { "\(time): \(event)" } else { nil }
        }
        #expect(run.heard == expected)
        if golden == .passThrough {
            #expect(run.toServers == fromClients)
            #expect(run.toClients == fromServers)
        }
        lab.finish()
        if GoldenCase.isWriting {
            try run.toClients.write(path: golden.path("client-out.pcap"))
            try run.toServers.write(path: golden.path("server-out.pcap"))
        }
        try expect(run.toClients, golden.path("client-out.pcap"))
        try expect(run.toServers, golden.path("server-out.pcap"))
    }

    private func expect(_ capture: CaptureFile, _ path: String) throws {
        let kept = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        guard capture.bytes != kept else { return }
        let golden = try CaptureFile(path: path).frames
        let place = zip(capture.frames, golden).enumerated().first { $1.0 != $1.1 }?.offset
        let number = (place ?? min(capture.frames.count, golden.count)) + 1
        Issue.record("\(path): \(capture.frames.count) frames, not \(golden.count); number \(number) is another one")
    }
}
