package import CRTP
import Glibc
import Synchronization
package import Wire

/// What this agent has, and for whom it may answer.
public final class Catalogue: Sendable {
    package let sites: [CatalogueSite]

    /// What is wrong with a site's root, by the root's path.
    public struct MissingRoot: Error, CustomStringConvertible {
        public var path: String
        public var description: String { "root \(path) is not a directory that can be read" }
    }

    public init(_ sites: [Site]) throws(MissingRoot) {
        var built: [CatalogueSite] = []
        for site in sites {
            guard case .directory(let directory) = site.content else {
                built.append(CatalogueSite(site: site, index: nil))
                continue
            }
            guard let index = DocumentIndex(directory) else { throw MissingRoot(path: directory.root) }
            built.append(CatalogueSite(site: site, index: index))
        }
        self.sites = built
    }

    /// Address and port of every origin whose connections may be adopted, for the guard.
    public static func services(_ sites: [Site]) -> [ServicePrefix] {
        var seen: Set<ServicePrefix> = []
        return sites.filter { $0.datagrams == nil }.flatMap(\.origins).filter { seen.insert($0).inserted }
    }

    /// Which local server has the replayed connections with which origin.
    package static func replays(_ sites: [Site]) -> [ReplayedOrigin] {
        var seen: Set<ReplayedOrigin> = []
        return sites.flatMap { site -> [ReplayedOrigin] in
            guard case .replay(let replay) = site.content else { return [] }
            return site.origins.map {
                ReplayedOrigin(origin: Endpoint($0.addresses.address, port: $0.port), server: replay.server)
            }
        }.filter { seen.insert($0).inserted }
    }

    /// What a server sends must be some origin's for sure, and what clients send some server's.
    static func ambiguousReplays(_ sites: [Site]) -> [(ReplayedOrigin, ReplayedOrigin)] {
        let all = replays(sites)
        return all.indices.flatMap { index in
            all[..<index].filter { $0.origin == all[index].origin || $0.server == all[index].server }
                .map { ($0, all[index]) }
        }
    }

    /// Where datagrams for which origins go; of two servers for one origin, the first.
    public static func datagramServers(_ sites: [Site]) -> [DatagramServer] {
        var servers: [DatagramServer] = []
        for site in sites {
            guard let datagrams = site.datagrams else { continue }
            for origin in site.origins {
                let server = DatagramServer(service: origin, server: datagrams.server)
                if server.isOfOneFamily, !servers.contains(server) { servers.append(server) }
            }
        }
        return servers
    }

    /// Follows the file system until the process ends. To be called on a thread of its own.
    package func follow() {
        let indexes = sites.compactMap(\.index).filter { $0.descriptor >= 0 }
        guard !indexes.isEmpty else { return }
        var descriptors = indexes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        while true {
            guard poll(&descriptors, nfds_t(descriptors.count), -1) > 0 else { continue }
            for (entry, index) in zip(descriptors, indexes) where entry.revents != 0 { index.takeChanges() }
        }
    }
}

/// An origin whose connections a server of this host gets by replay.
package struct ReplayedOrigin: Hashable, Sendable {
    package var origin: Endpoint
    package var server: Endpoint
}

package struct CatalogueSite: Sendable {
    package let site: Site
    package let index: DocumentIndex?
}

/// A request in the catalogue's terms.
package struct CatalogueQuestion: Sendable, Equatable {
    package var origin: Endpoint
    /// In lower case, without a port.
    package var host: String
    /// Path and query of HTTP; empty for others.
    package var target: [UInt8]
    package var application: Application
    package var hasCredentials: Bool
    package var isHead = false

    package init(
        origin: Endpoint, host: String, target: [UInt8], application: Application, hasCredentials: Bool
    ) {
        self.origin = origin
        self.host = host
        self.target = target
        self.application = application
        self.hasCredentials = hasCredentials
    }

    /// From a head that was read strictly.
    package init(_ request: RecognisedRequest, in bytes: UnsafeRawBufferPointer, origin: Endpoint) {
        self.init(
            origin: origin, host: String(decoding: request.host.of(bytes), as: UTF8.self).lowercased(),
            target: Array(request.path.of(bytes)), application: request.application,
            hasCredentials: request.hasCredentials)
        isHead = bytes.first == UInt8(ascii: "H")
    }
}

package enum CatalogueAnswer: Sendable, Equatable {
    /// A file of the site at this index.
    case document(site: Int, file: String)
    /// A server beside this one takes the origin's datagrams.
    case datagrams
    /// A server beside this one takes the connection.
    case relay(RelaySite)
    /// A server beside this one gets the connection itself, if it is not adopted yet.
    case replay
    /// Only the cache knows.
    case askCache(CacheSite)
    case refused(NACKReason)
}

extension Catalogue {
    /// Whose request this is, from memory (a root whose index is not complete may cost a look at the disk).
    package func answer(_ question: CatalogueQuestion) -> CatalogueAnswer {
        var refusal = NACKReason.policy
        if question.application.isOverUDP { return answerForDatagrams(question) }
        for (number, entry) in sites.enumerated() where entry.allows(question) {
            if question.hasCredentials && !entry.site.isPublic, !entry.isServer { continue }
            refusal = .notFound
            switch entry.site.content {
            case .directory:
                guard question.application == .httpGet, let path = RequestPath(question.target) else { continue }
                if let file = entry.index?.file(for: path) { return .document(site: number, file: file) }
            case .cache(let cache):
                if question.application == .httpGet { return .askCache(cache) }
            case .relay(let relay):
                if relay.isTLS == (question.application == .tls) { return .relay(relay) }
            case .replay(let replay):
                if replay.isTLS == (question.application == .tls) { return .replay }
            case .datagrams: continue
            }
        }
        return .refused(refusal)
    }

    private func answerForDatagrams(_ question: CatalogueQuestion) -> CatalogueAnswer {
        let isTaken = sites.contains { entry in
            entry.site.datagrams?.server.address.isV4 == question.origin.address.isV4 && entry.allows(question)
        }
        return isTaken ? .datagrams : .refused(.policy)
    }

    /// Opens what `answer` promised; nil when it has gone since.
    package func open(site: Int, file: String) -> Document? {
        sites[site].index.flatMap { Document(root: $0.root, file: file) }
    }
}

extension Site {
    var datagrams: DatagramSite? {
        guard case .datagrams(let site) = content else { return nil }
        return site
    }
}

extension CatalogueSite {
    /// Whoever answers judges for itself who may see what.
    fileprivate var isServer: Bool {
        switch site.content {
        case .relay, .replay: true
        case .directory, .cache, .datagrams: false
        }
    }

    fileprivate func allows(_ question: CatalogueQuestion) -> Bool {
        site.origins.contains { $0.contains(question.origin) } && site.hosts.contains { $0.matches(question.host) }
    }
}
