import Control
import Foundation
import Logging
import Operator
import Testing
import Wire

/// `/live` and `/ready`. `Tests/EndToEnd/test_metrics.py` asks a running director.
@Suite(.serialized, .timeLimit(.minutes(2))) struct HealthTests {
    private func status(beats: [Double], client: Bool = true, server: Bool = true) -> DirectorStatus {
        var status = DirectorStatus()
        status.workers = beats.map { beat in
            var worker = WorkerStatus()
            worker.beatSeconds = beat
            return worker
        }
        status.links = LinkStatus(client: client, server: server)
        return status
    }

    @Test func aWorkerThatTakesNoTurnIsNotAlive() {
        #expect(Health(live: status(beats: [0.01, 0.2])).ok)
        #expect(!Health(live: status(beats: [0.01, 1.5])).ok)
        #expect(!Health(live: status(beats: [])).ok)
        #expect(!Health(ready: status(beats: [0.01, 1.5])).ok)
    }

    @Test func withoutALinkOnEitherSideNothingPasses() {
        #expect(Health(ready: status(beats: [0])).checks == ["workers": true, "clientLink": true, "serverLink": true])
        #expect(!Health(ready: status(beats: [0], client: false)).ok)
        #expect(!Health(ready: status(beats: [0], server: false)).ok)
        #expect(Health(live: status(beats: [0], client: false)).ok, "a start anew would not help")
    }

    /// The director's thread answers nobody: the answer comes all the same.
    @Test func aSilentDirectorIsUnavailable() throws {
        let director = try TestDirector(answers: false)
        var configuration = DirectorConfiguration()
        configuration.metrics.listen = Endpoint(IPAddress(v4: 0x7F00_0001), port: 0)
        let pages = try OperatorPages.open(configuration, mailbox: director.mailbox, logger: Logger(label: "test"))
        let address = try #require(pages.servers.first).address
        for path in ["/live", "/ready", "/metrics"] {
            let curl = Process()
            curl.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
            curl.arguments = [
                "--silent", "--max-time", "20", "--write-out", "%{http_code}", "http://\(address)\(path)",
            ]
            let output = Pipe()
            curl.standardOutput = output
            try curl.run()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            curl.waitUntilExit()
            #expect(text == "the director does not answer\n503")
        }
        pages.close()
        director.stop()
    }
}
