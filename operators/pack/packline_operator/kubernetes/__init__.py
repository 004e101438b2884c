"""The loop on a cluster: Packs as objects of Kubernetes, one RayService a namespace as their fleet."""
